// Environment: what one JavaScript environment (the main thread or a worker) has of this addon.
#pragma once
#include <memory>

#include "job.h"
#include "node_addon.h"

namespace ptmz {

struct Environment {
  Napi::FunctionReference program;  // the constructor; only Graph.compile calls it
  std::shared_ptr<JobRegistry> jobs = make_job_registry();

  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }
};

// Each adds its classes and functions to what the addon exports.
void add_graph(Napi::Env env, Napi::Object exports);
void add_program(Napi::Env env, Napi::Object exports);
void add_vector(Napi::Env env, Napi::Object exports);
void add_training(Napi::Env env, Napi::Object exports);
void add_curvature(Napi::Env env, Napi::Object exports);

}  // namespace ptmz
