/** Extreme eigenvalues of the Hessian, per member. */
import { checkInteger, checkNumber, checkOneOf, PtmzError } from '../errors.js';
import type { Split } from '../data/split.js';
import type { Vector } from '../graph/vector.js';
import { loadNative } from '../load.js';
import type { Run } from '../train/run.js';
import { measureHessian, probeRequest, type Eta } from './measureHessian.js';
import { checkCount, checkDirections, checkMeasure, checkSeed, type SampleOptions } from './options.js';

// In the order of native/solvers/eigenvalues.h.
const methods = ['lanczos', 'power', 'pyhessian'] as const;
const ends = ['largest', 'smallest', 'both', 'magnitude'] as const;

/** How eigenvalues are found. */
export type EigenvalueMethod = (typeof methods)[number];
/** Which eigenvalues are looked for. */
export type SpectrumEnd = (typeof ends)[number];

/** Where a search for eigenvalues is. */
export interface EigenvalueProgress {
  /** The member under way, from 0. */
  member: number;
  members: number;
  /** Hessian-vector products of this member, and their largest number. */
  step: number;
  steps: number;
  /** Of all the work, if no member stops early. */
  fraction: number;
  /** Expected seconds to the end, if no member stops early. */
  eta: number;
  /** The first eigenvalue of this member so far and its residual; NaN before the first estimate. */
  eigenvalue: number;
  residual: number;
}

export interface HessianEigenvaluesOptions extends SampleOptions {
  /** Eigenvalues per member, at each end for `both`; default 1. */
  count?: number;
  /** By value, or by absolute value. Default `largest`; for power iterations `magnitude`, the only choice. */
  which?: SpectrumEnd;
  /**
   * `lanczos` (default): with full reorthogonalisation; it holds `steps` x parameters float64 numbers. `power`: power
   * iteration with deflation. `pyhessian`: the same with that program's normalisation and stopping rule.
   */
  method?: EigenvalueMethod;
  /** Hessian-vector products at most, of a member; for power iterations, of an eigenvalue. Default 100. */
  steps?: number;
  /**
   * Stop once |H v - l v| is at most tolerance x the largest |eigenvalue|; some eigenvalue is then that near to l.
   * `pyhessian`: once |l_k - l_(k-1)| / (|l_(k-1)| + 1e-6) is below it. Default 1e-4, for power iterations 1e-3.
   */
  tolerance?: number;
  /** Another seed gives other start vectors; default 0. They also differ between members, by the members' seeds. */
  seed?: number;
  /** The first start vector of each member: members x run.vectorSize; default: random. */
  start?: Vector;
  /** Called at most 30 times a second. */
  onProgress?: (progress: EigenvalueProgress) => void;
}

/** One entry per member. */
export interface HessianEigenvalues {
  /**
   * `largest` from the top, `smallest` from the bottom, `both`: the one list, then the other; `magnitude`: by falling
   * magnitude (power iterations: in the order found).
   */
  eigenvalues: number[][];
  /**
   * |H v - l v| for the vector v of length 1 that belongs to l. Lanczos: as its recurrence gives it (Paige 1971), which
   * leaves out the rounding of the products themselves, in float32 about 1e-6 of the largest |eigenvalue|.
   */
  residuals: number[][];
  /**
   * Whether the residual is within the tolerance. `pyhessian`: whether its rule stopped it with a residual of at most
   * sqrt(tolerance) |l|; its rule alone also stops between two eigenvalues +l and -l, at neither.
   */
  converged: boolean[][];
  /** Hessian-vector products. */
  iterations: number[];
  /** Power iterations: v^T H v, step by step, of every eigenvalue. Lanczos: empty. */
  history: number[][][];
}

function checkOptions(run: Run, data: Split, options: HessianEigenvaluesOptions) {
  checkMeasure(run, data, options, ['count', 'which', 'method', 'steps', 'tolerance', 'seed', 'start']);
  const method = checkOneOf('method', options.method ?? 'lanczos', methods);
  const lanczos = method === 'lanczos';
  const which = checkOneOf('which', options.which ?? (lanczos ? 'largest' : 'magnitude'), ends);
  if (!lanczos && which !== 'magnitude')
    throw new PtmzError('INVALID_ARGUMENT', `which: method '${method}' finds 'magnitude' alone, got '${which}'`, {
      hint: "Use method: 'lanczos', or which: 'magnitude'.",
    });
  const count = checkInteger('count', options.count ?? 1, 1, run.parameterCount);
  const least = lanczos ? Math.min(which === 'both' ? 2 * count : count, run.parameterCount) : 1;
  return {
    method: methods.indexOf(method),
    which: ends.indexOf(which),
    count,
    steps: checkCount('steps', options.steps, Math.max(100, least), least),
    tolerance: checkNumber('tolerance', options.tolerance ?? (lanczos ? 1e-4 : 1e-3), 0, Number.MAX_VALUE),
    stream: checkSeed(options.seed),
    start: checkDirections('start', options.start, run.members, run),
  };
}

/**
 * Extreme eigenvalues of each member's Hessian: Lanczos with full reorthogonalisation (Lanczos 1950; Paige 1971), which
 * finds both ends of the spectrum with their signs, or power iteration (PyHessian: Yao et al. 2020, algorithm 2).
 * Vectors are float64 whatever the run's element type.
 *
 * A member that does not converge within `steps` has `converged: false` where it has not, with the best values so far.
 *
 * @param run a population, trained or not
 * @param data the images whose mean loss is differentiated, in evaluation mode
 * @throws PtmzError `INVALID_ARGUMENT`, `SHAPE_MISMATCH`, `BUSY`, `DISPOSED`, `OUT_OF_MEMORY`; `NON_FINITE` where a
 * Hessian-vector product is NaN or infinite, naming the member
 * @example
 * ```ts
 * import { digits, hessianEigenvalues, trainResNet } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainResNet({ depth: 18, width: 2, data, batchSize: 50, epochs: 1, seeds: [0, 1] });
 * const options = { count: 2, which: 'both', steps: 10, samples: 50 } as const;
 * const { eigenvalues, converged } = await hessianEigenvalues(run, data.train, options);
 * const [top, second, lowest] = eigenvalues[0]!;
 * ```
 */
export async function hessianEigenvalues(
  run: Run,
  data: Split,
  options: HessianEigenvaluesOptions = {},
): Promise<HessianEigenvalues> {
  const { stream, ...search } = checkOptions(run, data, options);
  const found = await measureHessian(run, data, options, eigenvalueProgress, (request, report) =>
    loadNative().eigenvalues({ ...request, ...probeRequest(run, stream), ...search }, report),
  );
  return {
    eigenvalues: found.map((f) => f.values),
    residuals: found.map((f) => f.residuals),
    converged: found.map((f) => f.converged.map((c) => c !== 0)),
    iterations: found.map((f) => f.iterations),
    history: found.map((f) => f.history),
  };
}

function eigenvalueProgress(fields: number[], eta: Eta): EigenvalueProgress {
  const [member, members, step, steps, fraction, eigenvalue, residual] = fields as [
    ...[number, number, number, number, number, number, number],
  ];
  return { member, members, step, steps, fraction, eta: eta(fraction), eigenvalue, residual };
}
