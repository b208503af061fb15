/** Curvature of the loss: Hessian-vector products and the trace, per member, over any number of samples. */
import { checkNumber, checkOneOf, invalidArgument } from '../errors.js';
import type { Split } from '../data/split.js';
import { Vector } from '../graph/vector.js';
import { loadNative } from '../load.js';
import type { Run } from '../train/run.js';
import { measureHessian, probeRequest, type Eta } from './measureHessian.js';
import { checkCount, checkDirections, checkMeasure, checkSeed, type SampleOptions } from './options.js';

const methods = ['hutchinson', 'pyhessian'] as const;

/** Where an estimate of traces is. */
export interface TraceProgress {
  /** The member under way, from 0. */
  member: number;
  members: number;
  /** Probes finished for this member. */
  samples: number;
  probes: number;
  /** Of all the work, if no member stops early. */
  fraction: number;
  /** Expected seconds to the end, if no member stops early. */
  eta: number;
  trace: number;
  standardError: number;
}

export interface HessianTraceOptions extends SampleOptions {
  /** Random vectors per member, at most; default 100. */
  probes?: number;
  /** When to stop: `hutchinson` (default) by the standard error, `pyhessian` by that program's rule; see `rtol`. */
  method?: (typeof methods)[number];
  /**
   * Stop a member once its standard error is below rtol * |mean|, checked every `block` probes; default 0: never.
   * `pyhessian`: once |mean_k - mean_(k-1)| / (mean_(k-1) + 1e-6) is below rtol, default 1e-3. That has no absolute
   * value in the denominator: a member with a negative trace stops after two probes, as it does there.
   */
  rtol?: number;
  /** Probes that run as one population; default 16. */
  block?: number;
  /** Another seed gives other probes; default 0. Probes also differ from member to member, by the members' seeds. */
  seed?: number;
  /** The probes: (members x probes) x run.vectorSize, member by member; default: random signs. */
  vectors?: Vector;
  /** Called at most 30 times a second. */
  onProgress?: (progress: TraceProgress) => void;
}

/** One entry per member. */
export interface HessianTrace {
  trace: number[];
  /** Of the mean over probes: their standard deviation / sqrt(number). */
  standardError: number[];
  /** v^T H v of every probe. */
  samples: number[][];
}

/**
 * The trace of each member's Hessian, estimated with random sign vectors (Hutchinson 1990): the mean of v^T H v.
 *
 * @param run a trained population
 * @param data the images whose mean loss is differentiated, in evaluation mode
 * @throws PtmzError `INVALID_ARGUMENT`, `SHAPE_MISMATCH`, `BUSY`, `DISPOSED`, `OUT_OF_MEMORY`; `NON_FINITE` where a
 * Hessian-vector product is NaN or infinite, naming the member
 * @example
 * ```ts
 * import { digits, hessianTrace, trainResNet } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainResNet({ depth: 18, width: 2, data, batchSize: 50, epochs: 1, seeds: [0, 1] });
 * const { trace, standardError, samples } = await hessianTrace(run, data.train, { probes: 4, samples: 50 });
 * ```
 */
export async function hessianTrace(run: Run, data: Split, options: HessianTraceOptions = {}): Promise<HessianTrace> {
  checkMeasure(run, data, options, ['probes', 'method', 'rtol', 'block', 'seed', 'vectors']);
  const probes = checkCount('probes', options.probes, 100);
  const pyhessian = checkOneOf('method', options.method ?? 'hutchinson', methods) === 'pyhessian';
  const rtol = checkNumber('rtol', options.rtol ?? (pyhessian ? 1e-3 : 0), 0, Number.MAX_VALUE);
  const block = checkCount('block', options.block, 16);
  const stream = checkSeed(options.seed);
  const vectors = checkDirections('vectors', options.vectors, run.members * probes, run);
  const estimate = { probes, block, rtol, pyhessian, vectors };
  const estimates = await measureHessian(run, data, options, traceProgress, (request, report) =>
    loadNative().hutchinson({ ...request, ...probeRequest(run, stream), ...estimate }, report),
  );
  return {
    trace: estimates.map((e) => e.trace),
    standardError: estimates.map((e) => e.standardError),
    samples: estimates.map((e) => e.samples),
  };
}

function traceProgress(fields: number[], eta: Eta): TraceProgress {
  const [member, members, samples, probes, fraction, trace, standardError] = fields as [
    ...[number, number, number, number, number, number, number],
  ];
  return { member, members, samples, probes, fraction, eta: eta(fraction), trace, standardError };
}

/**
 * The Hessian of each member times a direction.
 *
 * @param directions one row per member, laid out as the parameters, in the element type of the run
 * @returns one row per member in float64; dispose of it
 * @throws PtmzError as {@link hessianTrace}
 * @example
 * ```ts
 * import { digits, hvp, trainResNet, Vector } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainResNet({ depth: 18, width: 2, data, batchSize: 50, epochs: 1, seeds: [0, 1] });
 * using v = new Vector('float32', run.members, run.vectorSize);
 * v.random({ distribution: 'normal', seeds: run.seeds });
 * using product = await hvp(run, data.train, v, { samples: 50 });
 * ```
 */
export async function hvp(
  run: Run,
  data: Split,
  directions: Vector,
  options: SampleOptions & { onProgress?: (fraction: number) => void } = {},
): Promise<Vector> {
  checkMeasure(run, data, options, []);
  if (!(directions instanceof Vector)) throw invalidArgument('directions', 'a Vector', directions);
  const result = new Vector('float64', run.members, run.vectors.params.size);
  try {
    const [input, output] = [directions.native, result.native];
    const fraction = (fields: number[]) => fields[0]!;
    await measureHessian(run, data, options, fraction, (request, report) =>
      loadNative().hvp({ ...request, directions: input, result: output }, report),
    );
    return result;
  } catch (error) {
    result.dispose();
    throw error;
  }
}
