/** The density of the Hessian's eigenvalues, per member. */
import { checkInteger, checkNumber } from '../errors.js';
import type { Split } from '../data/split.js';
import type { Vector } from '../graph/vector.js';
import { loadNative } from '../load.js';
import type { Run } from '../train/run.js';
import { measureHessian, probeRequest, type Eta } from './measureHessian.js';
import { checkCount, checkDirections, checkMeasure, checkSeed, type SampleOptions } from './options.js';

/** Where an estimate of spectra is. */
export interface SpectrumProgress {
  /** The member under way, from 0. */
  member: number;
  members: number;
  /** Hessian-vector products of this member, and their largest number. */
  step: number;
  steps: number;
  /** Of all the work, if no run ends early. */
  fraction: number;
  /** Expected seconds to the end, if no run ends early. */
  eta: number;
}

export interface HessianSpectrumOptions extends SampleOptions {
  /** Random vectors per member, each with a Lanczos run of its own; default 1. */
  runs?: number;
  /** Lanczos steps of a run, at most: one ends where its Krylov space does. Default 100. */
  steps?: number;
  /** Points of the density's grid; default 10,000. */
  bins?: number;
  /**
   * Standard deviation of the Gaussian on each node, in units of the eigenvalues. Default, as PyHessian:
   * sqrt(1e-5 max(1, width of the grid)); keep it above the distance of the grid's points.
   */
  sigma?: number;
  /** Runs that are one population; default 4. Each holds `steps` x parameters float64 numbers. */
  block?: number;
  /** Another seed gives other random vectors; default 0. They also differ between members, by the members' seeds. */
  seed?: number;
  /** The start vectors: (members x runs) x run.vectorSize, member by member; default: random signs. */
  start?: Vector;
  /** Called at most 30 times a second. */
  onProgress?: (progress: SpectrumProgress) => void;
}

/** The spectrum of one member. */
export interface Spectrum {
  /** Per run: v^T f(H) v / v^T v is about the sum of weights x f(nodes), and the mean over runs about trace f(H) / n. */
  nodes: number[][];
  /** Per run; they sum to 1. */
  weights: number[][];
  /** From 0.01 below the smallest to 0.01 above the largest node (means over runs). */
  grid: number[];
  /** Eigenvalues per unit length at the grid's points, of all of them 1. */
  density: number[];
  /** Estimates of trace(H^k) / n for k = 1 to 4. */
  moments: number[];
  /** Per run: the tridiagonal matrix of Lanczos, its diagonal and what is below it. */
  alpha: number[][];
  beta: number[][];
}

/**
 * The density of each member's Hessian spectrum by stochastic Lanczos quadrature (Ubaru, Chen and Saad 2017, algorithm
 * 3.1; for networks Ghorbani, Krishnan and Xiao 2019), smoothed on a grid as PyHessian does.
 *
 * @param run a population, trained or not
 * @param data the images whose mean loss is differentiated, in evaluation mode
 * @returns one spectrum per member
 * @throws PtmzError `INVALID_ARGUMENT`, `SHAPE_MISMATCH`, `BUSY`, `DISPOSED`, `OUT_OF_MEMORY`; `NON_FINITE` where a
 * Hessian-vector product is NaN or infinite, naming the member
 * @example
 * ```ts
 * import { digits, hessianSpectrum, trainResNet } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainResNet({ depth: 18, width: 2, data, batchSize: 50, epochs: 1, seeds: [0] });
 * const [spectrum] = await hessianSpectrum(run, data.train, { runs: 2, steps: 8, bins: 500, samples: 50 });
 * const peak = Math.max(...spectrum!.density);
 * ```
 */
export async function hessianSpectrum(
  run: Run,
  data: Split,
  options: HessianSpectrumOptions = {},
): Promise<Spectrum[]> {
  checkMeasure(run, data, options, ['runs', 'steps', 'bins', 'sigma', 'block', 'seed', 'start']);
  const runs = checkCount('runs', options.runs, 1);
  const estimate = {
    runs,
    steps: checkCount('steps', options.steps, 100),
    bins: checkInteger('bins', options.bins ?? 10_000, 2, 2 ** 24),
    sigma: options.sigma === undefined ? 0 : checkNumber('sigma', options.sigma, Number.MIN_VALUE, Number.MAX_VALUE),
    block: checkCount('block', options.block, 4),
    start: checkDirections('start', options.start, run.members * runs, run),
  };
  const stream = checkSeed(options.seed);
  return await measureHessian(run, data, options, spectrumProgress, (request, report) =>
    loadNative().spectrum({ ...request, ...probeRequest(run, stream), ...estimate }, report),
  );
}

function spectrumProgress(fields: number[], eta: Eta): SpectrumProgress {
  const [member, members, step, steps, fraction] = fields as [number, number, number, number, number];
  return { member, members, step, steps, fraction, eta: eta(fraction) };
}
