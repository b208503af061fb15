/** The native addon's contract: what `bindings/` exports, typed. Nothing outside `lib/` sees it. */

/** Element types of a vector. */
export type NativeDType = 'float32' | 'float64' | 'int32' | 'uint8';
/** The typed arrays that match the element types of a vector. */
export type NativeArray = Float32Array | Float64Array | Int32Array | Uint8Array;

export interface NativeGraph {
  /** Declares a named flat array; returns its number. */
  slot(name: string, kind: 'real' | 'index', size: number): number;
  /** Adds a node (native/ir/op.def); returns its id. `shape` only for leaves, reshape, expand and random. */
  node(op: string, inputs: number[], ints?: number[], reals?: number[], shape?: number[]): number;
  /** Adds a fused node (native/ir/fused.def) that computes the same as node `fallback`. */
  fused(kind: string, inputs: number[], ints: number[], reals: number[], fallback: number): number;
  shape(id: number): number[];
  kind(id: number): 'real' | 'index';
  /** -1 where no differentiable path leads to that entry of `wrt`. */
  vjp(outputs: number[], cotangents: number[], wrt: number[]): number[];
  jvp(outputs: number[], wrt: number[], tangents: number[]): number[];
  dump(roots: number[]): string;
  readonly size: number;
  compile(options: {
    outputs: { node: number; slot: number; offset: number }[];
    dtype: 'float32' | 'float64';
    /** Default float32. */
    precision?: 'float32' | 'tf32' | 'bf16';
    varying: number[];
    fuse: boolean;
    device: string;
  }): NativeProgram;
  dispose(): void;
}

/** What a run did: launches executed, chunks of members, bytes of its arenas. */
export interface NativeRunStats {
  sharedLaunches: number;
  varyingLaunches: number;
  chunks: number;
  chunkMembers: number;
  arenaBytes: number;
}

/**
 * Length of the launch lists, which do not depend on the number of members, and the memory plan in bytes: a run holds
 * sharedBytes + members x memberBytes.
 */
export interface NativePlan {
  sharedLaunches: number;
  varyingLaunches: number;
  sharedBytes: number;
  memberBytes: number;
  scratchBytes: number;
}

export interface NativeProgram {
  /** One entry per slot of the graph, by slot number. */
  readonly slots: {
    name: string;
    kind: 'real' | 'index';
    size: number;
    varies: boolean;
    read: boolean;
    written: boolean;
  }[];
  readonly plan: NativePlan;
  dump(): string;
  /** `vectors[slot]`, null where the program needs none. */
  run(
    vectors: (NativeVector | null)[],
    options: { members: number; threads: number; memoryLimit: number },
  ): NativeJob<NativeRunStats>;
  dispose(): void;
}

export interface NativeVector {
  readonly dtype: NativeDType;
  readonly rows: number;
  readonly size: number;
  /** Copies elements [offset, offset + target.length) of a row. The array's type must match dtype. */
  read(row: number, offset: number, target: NativeArray): void;
  write(row: number, offset: number, source: NativeArray): void;
  /** Philox numbers drawn by logical index: element i of row r is draw(seeds[r], purpose, stream, epoch, step, i). */
  random(options: {
    offset: number;
    length: number;
    distribution: 'uniform' | 'normal' | 'rademacher';
    seeds: number[];
    purpose: 'init' | 'order' | 'augment' | 'probe';
    stream: number;
    epoch: number;
    step: number;
    scale: number;
    shift: number;
  }): void;
  fill(value: number): void;
  dispose(): void;
}

/** Work on a native thread. `cancel` asks it to stop; the promise then rejects with code ABORTED. */
export interface NativeJob<T> {
  readonly promise: Promise<T>;
  cancel(): void;
}

/** A program compiled for one batch size, with the vectors of its slots (native/solvers/batches.h). */
export interface NativeBatchProgram {
  program: NativeProgram;
  vectors: (NativeVector | null)[];
  batch: number;
  /** Slot numbers; those that the program lacks are left out. */
  slots: Partial<
    Record<'x' | 'y' | 'key' | 'loss' | 'correct' | 'grad' | 'nextBuffers' | 'params' | 'buffers' | 'v' | 'hv', number>
  >;
}

/**
 * Samples (N,C,H,W) as uint8 or float32 and labels (N), resident; with a window > 0 tokens and no labels, resident or in
 * a file; or neither
 * (native/solvers/dataset.h).
 */
export interface NativeDataset {
  samples: NativeVector | null;
  labels: NativeVector | null;
  count: number;
  channels: number;
  plane: number;
  mean: number[];
  deviation: number[];
  window: number;
  stride: number;
  /** Tokens that are read as they are needed, instead of samples (native/solvers/token_file.h). */
  file?: { path: string; vocabulary: number } | null;
  /** Of training images (native/solvers/random_ops.h). */
  ops?: NativeRandomOps | null;
}

/** Ranges are [low, high]; what is not wanted has 1 to 1, turns of hue 0 to 0, no operations, probability 0. */
export interface NativeRandomOps {
  brightness: number[];
  contrast: number[];
  saturation: number[];
  hue: number[];
  randAugment: { operations: number; magnitude: number; bins: number };
  /** `value` has one number per channel; `noise` takes its place. */
  erase: { probability: number; scale: number[]; ratio: number[]; noise: boolean; value: number[] };
}

interface NativeSolverOptions {
  batch: NativeBatchProgram | null;
  tail: NativeBatchProgram | null;
  classes: number;
  threads: number;
  memoryLimit: number;
}

export interface NativeTrainOptions extends NativeSolverOptions {
  testBatch: NativeBatchProgram | null;
  testTail: NativeBatchProgram | null;
  train: NativeDataset;
  test: NativeDataset | null;
  params: NativeVector;
  /** Momentum buffer or first moment; of L-BFGS the gradient. */
  velocity: NativeVector;
  /** Of optimisers that have one. */
  secondMoment: NativeVector | null;
  /** Of L-BFGS (native/solvers/lbfgs.h). */
  pairs: NativeVector | null;
  search: NativeVector | null;
  /** Moving average of the parameters. */
  average: NativeVector | null;
  buffers: NativeVector | null;
  /** float64, per member: steps, epochs, sum of losses, sum of right answers, step at which it froze or -1. */
  state: NativeVector;
  /** float64, one row per epoch: train loss, train accuracy, test loss, test accuracy of each member. */
  history: NativeVector;
  /** begin, end, decays (0 or 1) for each tensor. */
  ranges: number[];
  seeds: number[];
  weightDecay: number[];
  /** float64, one number per step: lr one row per member, momentum (AdamW: beta1) one row. */
  lr: NativeVector;
  momentum: NativeVector;
  optimizer: string;
  nesterov: boolean;
  beta2: number;
  eps: number;
  historySize: number;
  toleranceGrad: number;
  toleranceChange: number;
  lineSearch: number;
  /** 0: none. */
  clip: number;
  averageDecay: number;
  accumulate: number;
  carryLeftover: boolean;
  /** Of images of height x width; zeros leave them as they are. */
  augment: { height: number; width: number; padding: number; flip: number; rotate: number; ops: boolean };
  /** Whether every epoch has an order of its own for each member. */
  shuffle: boolean;
  evaluateEvery: number;
  /** Steps after which it returns, counted from the beginning of the training. */
  stepLimit: number;
}

export interface NativeEvaluateOptions extends NativeSolverOptions {
  data: NativeDataset;
  members: number;
}

export interface NativeHessianOptions extends NativeSolverOptions {
  data: NativeDataset;
  params: NativeVector;
  buffers: NativeVector | null;
}

/** What random directions are drawn from (native/solvers/probe.h). */
interface NativeProbeOptions extends NativeHessianOptions {
  ranges: number[];
  seeds: number[];
  stream: number;
}

export interface NativeAddon {
  Graph: new () => NativeGraph;
  /** `device`: default cpu. */
  Vector: new (dtype: NativeDType, rows: number, size: number, device?: string) => NativeVector;
  /** Progress: epoch, epochs, step, steps, evaluating, lr, samples/s, P losses, P accuracies, last history row. */
  train(
    options: NativeTrainOptions,
    onProgress?: (fields: number[]) => void,
  ): NativeJob<{ steps: number; epochs: number; seconds: number; samplesPerSecond: number }>;
  /** Progress: the fraction done. */
  evaluate(
    options: NativeEvaluateOptions,
    onProgress?: (fields: number[]) => void,
  ): NativeJob<{ loss: number[]; accuracy: number[] }>;
  /** `result` (P,n) float64 = H `directions`. Progress: the fraction done. */
  hvp(
    options: NativeHessianOptions & { directions: NativeVector; result: NativeVector },
    onProgress?: (fields: number[]) => void,
  ): NativeJob<undefined>;
  /** Progress: member, members, samples, probes, fraction done, mean and standard error so far. */
  hutchinson(
    options: NativeProbeOptions & {
      probes: number;
      block: number;
      rtol: number;
      pyhessian: boolean;
      /** (P * probes, n), or null. */
      vectors: NativeVector | null;
    },
    onProgress?: (fields: number[]) => void,
  ): NativeJob<{ trace: number; standardError: number; samples: number[] }[]>;
  /** Progress: member, members, steps done, steps, fraction done, first eigenvalue, its residual. */
  eigenvalues(
    options: NativeProbeOptions & {
      method: number;
      which: number;
      count: number;
      steps: number;
      tolerance: number;
      /** (P, n), or null. */
      start: NativeVector | null;
    },
    onProgress?: (fields: number[]) => void,
  ): NativeJob<
    { values: number[]; residuals: number[]; converged: number[]; iterations: number; history: number[][] }[]
  >;
  /** Progress: member, members, steps done, steps, fraction done. */
  spectrum(
    options: NativeProbeOptions & {
      runs: number;
      steps: number;
      block: number;
      bins: number;
      /** 0: by the width of the grid. */
      sigma: number;
      /** (P * runs, n), or null. */
      start: NativeVector | null;
    },
    onProgress?: (fields: number[]) => void,
  ): NativeJob<
    {
      alpha: number[][];
      beta: number[][];
      nodes: number[][];
      weights: number[][];
      grid: number[];
      density: number[];
      moments: number[];
    }[]
  >;
  /** Bytes held by native vectors and arenas in this process now. */
  nativeBytes(): number;
  /** Jobs that run side by side on a device. */
  jobsAtOnce(device: string): number;
  info(): {
    version: string;
    compiler: string;
    blas: string;
    simd: { used: string; available: string[] };
    threads: number;
    /** `detail` says which card, `reason` why there is none. */
    devices: { name: string; available: boolean; detail?: string; reason?: string }[];
  };
}
