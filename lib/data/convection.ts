/** Points and exact solution of the 1-D convection equation u_t + beta u_x = 0, for physics-informed networks. */
import { checkInteger, checkNumber, checkObject, invalidArgument } from '../errors.js';
import { MersenneTwister } from './mersenneTwister.js';

/** What {@link convection} takes. */
export interface ConvectionOptions {
  /** The speed; default 1. */
  beta?: number;
  /** Places on the grid from 0 to 2 pi, without the end; default 256. */
  places?: number;
  /** Times on the grid from 0 to 1, both included; default 100. */
  times?: number;
  /** Collocation points, drawn from the grid without its first place and time; default 100. */
  collocation?: number;
  /** Of NumPy's generator that draws them; default 0, as in the published runs, whatever the seed of the network. */
  seed?: number;
}

/** Places and times of points, one of each per point. */
export interface ConvectionPoints {
  x: Float64Array;
  t: Float64Array;
}

/** The whole grid, time by time. */
export interface ConvectionGrid extends ConvectionPoints {
  /** The exact solution, sin(x - beta t). */
  u: Float64Array;
  places: number;
  times: number;
}

/** What {@link convection} makes. */
export interface ConvectionData {
  readonly beta: number;
  /** At t = 0, where u = sin x. */
  readonly initial: ConvectionGrid;
  /** Pairs of points with one value: u(0, t) = u(2 pi, t). */
  readonly boundary: { readonly left: ConvectionPoints; readonly right: ConvectionPoints };
  /** Where the equation is asked for. */
  readonly collocation: ConvectionPoints;
  /** Where the solution is compared. */
  readonly grid: ConvectionGrid;
}

/** Errors of a prediction on the grid; see {@link convectionErrors}. */
export interface ConvectionErrors {
  /** Of the prediction's difference, divided by that of the solution: the usual test error. */
  relativeL2: number;
  meanAbsolute: number;
  largest: number;
}

const LARGEST_GRID = 2 ** 26;
const END = 2 * Math.PI;

/**
 * Points for training and testing, as Krishnapriyan et al. (2021) draw them: the initial values at all places, the
 * periodic boundary at all times, and collocation points that are the same in every run.
 *
 * @throws PtmzError `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { convection, convectionErrors } from 'ptmz-native';
 * const { grid, initial, boundary, collocation } = convection({ beta: 30 });
 * [grid.u.length, initial.x.length, boundary.left.t.length, collocation.x.length]; // [25600, 256, 100, 100]
 * convectionErrors(grid, new Float64Array(25600)).relativeL2; // 1
 * ```
 */
export function convection(options: ConvectionOptions = {}): ConvectionData {
  checkObject('options', options, ['beta', 'places', 'times', 'collocation', 'seed']);
  const beta = checkNumber('beta', options.beta ?? 1, -1e6, 1e6);
  const places = checkInteger('places', options.places ?? 256, 2, LARGEST_GRID);
  const times = checkInteger('times', options.times ?? 100, 2, LARGEST_GRID);
  if (places * times > LARGEST_GRID)
    throw invalidArgument('places x times', `at most ${LARGEST_GRID} points`, places * times);
  const inner = (places - 1) * (times - 1);
  const count = checkInteger('collocation', options.collocation ?? Math.min(100, inner), 1, inner);
  const seed = checkInteger('seed', options.seed ?? 0, 0, 2 ** 32 - 1);
  // As numpy.linspace computes them, so that the numbers are the same to the last bit.
  const x = Float64Array.from({ length: places }, (_, i) => i * (END / places));
  const t = Float64Array.from({ length: times }, (_, i) => (i === times - 1 ? 1 : i * (1 / (times - 1))));
  const chosen = new MersenneTwister(seed).choice(inner, count);
  const constant = (value: number) => new Float64Array(times).fill(value);
  return {
    beta,
    initial: makeGrid(x, Float64Array.of(0), beta),
    boundary: { left: { x: constant(0), t }, right: { x: constant(END), t: t.slice() } },
    collocation: {
      x: Float64Array.from(chosen, (k) => x[1 + (k % (places - 1))]!),
      t: Float64Array.from(chosen, (k) => t[1 + Math.floor(k / (places - 1))]!),
    },
    grid: makeGrid(x, t, beta),
  };
}

function makeGrid(x: Float64Array, t: Float64Array, beta: number): ConvectionGrid {
  const [places, times] = [x.length, t.length];
  const at = (k: number) => [x[k % places]!, t[Math.floor(k / places)]!] as const;
  const fill = (value: (k: number) => number) => Float64Array.from({ length: places * times }, (_, k) => value(k));
  return {
    x: fill((k) => at(k)[0]),
    t: fill((k) => at(k)[1]),
    u: fill((k) => Math.sin(at(k)[0] - beta * at(k)[1])),
    places,
    times,
  };
}

/**
 * How far a prediction is from the exact solution.
 *
 * @param prediction at the points of the grid, in their order
 * @throws PtmzError `INVALID_ARGUMENT` where there are more or fewer numbers
 * @example
 * ```ts
 * import { convection, convectionErrors } from 'ptmz-native';
 * const { grid } = convection({ beta: 1 });
 * convectionErrors(grid, grid.u); // { relativeL2: 0, meanAbsolute: 0, largest: 0 }
 * ```
 */
export function convectionErrors({ u }: ConvectionGrid, prediction: ArrayLike<number>): ConvectionErrors {
  if (prediction.length !== u.length) throw invalidArgument('prediction', `${u.length} numbers`, prediction.length);
  let [difference, size, absolute, largest] = [0, 0, 0, 0];
  for (let k = 0; k < u.length; k++) {
    const d = Math.abs(prediction[k]! - u[k]!);
    difference += d * d;
    size += u[k]! ** 2;
    absolute += d;
    // Not Math.max of two: a NaN must show.
    largest = d <= largest ? largest : d;
  }
  return { relativeL2: Math.sqrt(difference / size), meanAbsolute: absolute / u.length, largest };
}
