/** ptmz-native: a differentiable tensor core that runs populations of models at once. */
export { PtmzError, type ErrorCode } from './errors.js';
export { Flat, type FlatEntry, type Init } from './graph/flat.js';
export { Graph, type Distribution, type ParamOptions } from './graph/graph.js';
export { initialise } from './graph/initialise.js';
export {
  concat,
  fma,
  where,
  type Axes,
  type GatherOptions,
  type MatmulOptions,
  type Operand,
} from './graph/operators.js';
export {
  Program,
  type CompileOptions,
  type ProgramPlan,
  type ProgramSlot,
  type RunInput,
  type RunOptions,
  type RunStats,
} from './graph/program.js';
export type { Shape } from './graph/shape.js';
export type { Precision } from './precision.js';
export { Value, type Kind } from './graph/value.js';
export { randomKey, Vector, type DType, type RandomOptions, type TypedArray } from './graph/vector.js';
export * from './nn/index.js';
export { DiskFullError } from './formats/diskSpace.js';
export * from './formats/index.js';
export * from './data/index.js';
export * from './landscape/index.js';
export * from './models/index.js';
export * from './report/index.js';
export * from './train/index.js';
export type { JsonLines, JsonObject } from './zoo/pythonJson.js';
export { readTrial, type Trial, type TrialCheckpoint, type TrialParams } from './zoo/trial.js';
