// NativeGraph: building, differentiating and compiling graphs. All of it is quick and runs on the JavaScript thread.
#include "graph.h"

#include <limits>

#include "autodiff/autodiff.h"
#include "backend/device.h"
#include "compile/program.h"
#include "environment.h"
#include "program.h"

namespace ptmz {
namespace {

bool missing(Napi::Value value) { return value.IsUndefined() || value.IsNull(); }

Kind to_kind(Napi::Value value, const std::string& name) {
  return to_choice<Kind>(value, name, {{"real", Kind::real}, {"index", Kind::index}});
}

Output to_output(Napi::Value value, const std::string& name) {
  const Napi::Object object = to_object(value, name);
  const int64_t most = std::numeric_limits<int32_t>::max();
  return {static_cast<NodeId>(to_int(object["node"], name + ".node", 0, most)),
          static_cast<int>(to_int(object["slot"], name + ".slot", 0, most)),
          to_int(object["offset"], name + ".offset")};
}

}  // namespace

NativeGraph::NativeGraph(const Napi::CallbackInfo& info) : Wrapped(info), graph_(std::make_unique<Graph>()) {}

void NativeGraph::add_to(Napi::Env env, Napi::Object exports) {
  exports["Graph"] = DefineClass(
      env, "Graph",
      {method<&NativeGraph::slot>("slot"), method<&NativeGraph::node>("node"), method<&NativeGraph::fused>("fused"),
       method<&NativeGraph::shape>("shape"), method<&NativeGraph::kind>("kind"), method<&NativeGraph::vjp>("vjp"),
       method<&NativeGraph::jvp>("jvp"), method<&NativeGraph::dump>("dump"), getter<&NativeGraph::size>("size"),
       method<&NativeGraph::compile>("compile"), method<&NativeGraph::dispose>("dispose")});
}

Graph& NativeGraph::graph() {
  if (!graph_) throw_disposed();
  return *graph_;
}

Graph& NativeGraph::graph_with(std::initializer_list<std::vector<NodeId>> lists) {
  for (const auto& list : lists)
    for (const NodeId id : list) graph().check_node(id);
  return graph();
}

Napi::Value NativeGraph::slot(const Napi::CallbackInfo& info) {
  const std::string name = to_text(info[0], "name");
  const Kind kind = to_kind(info[1], "kind");
  const int64_t size = to_int(info[2], "size");
  return Napi::Number::New(info.Env(), graph().add_slot(name, kind, size));
}

Napi::Value NativeGraph::node(const Napi::CallbackInfo& info) {
  const Op op = op_from_name(to_text(info[0], "op"));
  const std::vector<NodeId> inputs = to_nodes(info[1], "inputs");
  Attrs attrs;
  if (!missing(info[2])) attrs.ints = to_ints(info[2], "ints", -kMaxSafe);
  if (!missing(info[3])) attrs.reals = to_reals(info[3], "reals");
  Shape shape;
  if (!missing(info[4])) shape = to_shape(info[4], "shape");
  return Napi::Number::New(info.Env(), graph_with({inputs}).add(op, inputs, std::move(attrs), std::move(shape)));
}

Napi::Value NativeGraph::fused(const Napi::CallbackInfo& info) {
  const Fused kind = fused_from_name(to_text(info[0], "kind"));
  const std::vector<NodeId> inputs = to_nodes(info[1], "inputs");
  const Attrs attrs{to_ints(info[2], "ints", -kMaxSafe), to_reals(info[3], "reals")};
  const NodeId fallback = to_node(info[4], "fallback");
  return Napi::Number::New(info.Env(), graph_with({inputs, {fallback}}).add_fused(kind, inputs, attrs, fallback));
}

Napi::Value NativeGraph::shape(const Napi::CallbackInfo& info) {
  const NodeId id = to_node(info[0], "id");
  return from_list(info.Env(), graph_with({{id}}).shape(id));
}

Napi::Value NativeGraph::kind(const Napi::CallbackInfo& info) {
  const NodeId id = to_node(info[0], "id");
  return Napi::String::New(info.Env(), graph_with({{id}})[id].kind == Kind::index ? "index" : "real");
}

Napi::Value NativeGraph::vjp(const Napi::CallbackInfo& info) {
  const std::vector<NodeId> outputs = to_nodes(info[0], "outputs"), cotangents = to_nodes(info[1], "cotangents"),
                            wrt = to_nodes(info[2], "wrt");
  return from_list(info.Env(), ptmz::vjp(graph_with({outputs, cotangents, wrt}), outputs, cotangents, wrt));
}

Napi::Value NativeGraph::jvp(const Napi::CallbackInfo& info) {
  const std::vector<NodeId> outputs = to_nodes(info[0], "outputs"), wrt = to_nodes(info[1], "wrt"),
                            tangents = to_nodes(info[2], "tangents");
  return from_list(info.Env(), ptmz::jvp(graph_with({outputs, wrt, tangents}), outputs, wrt, tangents));
}

Napi::Value NativeGraph::dump(const Napi::CallbackInfo& info) {
  const std::vector<NodeId> roots = to_nodes(info[0], "roots");
  return Napi::String::New(info.Env(), graph_with({roots}).dump(roots));
}

Napi::Value NativeGraph::size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(graph().size()));
}

Napi::Value NativeGraph::compile(const Napi::CallbackInfo& info) {
  const Napi::Object given = to_object(info[0], "options");
  const std::vector<Output> outputs = to_list(given["outputs"], "outputs", to_output);
  CompileOptions options;
  options.real = to_choice<DType>(given["dtype"], "dtype", {{"float32", DType::f32}, {"float64", DType::f64}});
  if (!given.Get("precision").IsUndefined())
    options.precision =
        to_choice<Precision>(given["precision"], "precision",
                             {{"float32", Precision::full}, {"tf32", Precision::tf32}, {"bf16", Precision::bf16}});
  options.varying = to_list(given["varying"], "varying", [](Napi::Value value, const std::string& name) {
    return static_cast<int>(to_int(value, name, 0, std::numeric_limits<int>::max()));
  });
  options.fuse = to_bool(given["fuse"], "fuse");
  const Backend& backend = backend_of(to_text(given["device"], "device"));  // never falls back to another one
  std::vector<NodeId> nodes;
  for (const Output& output : outputs) nodes.push_back(output.node);
  return NativeProgram::make(info.Env(), ptmz::compile(graph_with({nodes}), outputs, options, backend));
}

Napi::Value NativeGraph::dispose(const Napi::CallbackInfo& info) {
  graph_.reset();
  return info.Env().Undefined();
}

void add_graph(Napi::Env env, Napi::Object exports) { NativeGraph::add_to(env, exports); }

}  // namespace ptmz
