// NativeGraph: a ptmz::Graph seen from JavaScript.
#pragma once
#include <initializer_list>
#include <memory>
#include <vector>

#include "ir/graph.h"
#include "wrapped.h"

namespace ptmz {

class NativeGraph : public Wrapped<NativeGraph> {
 public:
  static constexpr const char* kName = "Graph";
  static void add_to(Napi::Env env, Napi::Object exports);
  explicit NativeGraph(const Napi::CallbackInfo& info);

 private:
  Napi::Value slot(const Napi::CallbackInfo& info);
  Napi::Value node(const Napi::CallbackInfo& info);
  Napi::Value fused(const Napi::CallbackInfo& info);
  Napi::Value shape(const Napi::CallbackInfo& info);
  Napi::Value kind(const Napi::CallbackInfo& info);
  Napi::Value vjp(const Napi::CallbackInfo& info);
  Napi::Value jvp(const Napi::CallbackInfo& info);
  Napi::Value dump(const Napi::CallbackInfo& info);
  Napi::Value size(const Napi::CallbackInfo& info);
  Napi::Value compile(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  Graph& graph();  // throws DISPOSED
  // The graph, when all these nodes are its own; else INVALID_ARGUMENT.
  Graph& graph_with(std::initializer_list<std::vector<NodeId>> lists);

  std::unique_ptr<Graph> graph_;
};

}  // namespace ptmz
