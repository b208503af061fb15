/** Options of the measures of curvature: those that all of them take, and the checks that they share. */
import { checkInteger, checkObject, invalidArgument, PtmzError, unexpected } from '../errors.js';
import { Split } from '../data/split.js';
import { Vector } from '../graph/vector.js';
import type { NativeVector } from '../native.js';
import type { JobOptions } from '../train/job.js';
import { Run } from '../train/run.js';
import { checkFits } from '../models/trainable.js';

/** The samples over which the Hessian is taken: the Hessian of their mean loss, batch norm in evaluation mode. */
export interface SampleOptions extends JobOptions {
  /** The first so many; default: all. */
  samples?: number;
  /** Samples in memory at once; default 64. It changes nothing but speed, memory and rounding. */
  batchSize?: number;
}

const sharedKeys = ['samples', 'batchSize', 'signal', 'threads', 'memoryLimit', 'onProgress'];

/** The first checks of every measure: the names of its options, `own` and those of all, population and images. @internal */
export function checkMeasure(run: Run, data: Split, options: { onProgress?: unknown }, own: readonly string[]): void {
  checkObject('options', options, [...sharedKeys, ...own]);
  if (!(run instanceof Run)) throw invalidArgument('run', 'a Run', run);
  if (!(data instanceof Split)) throw invalidArgument('data', 'samples such as data.train', data);
  checkFits(run.model, data, 'data');
  const { onProgress } = options;
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalidArgument('onProgress', 'a function', onProgress);
}

/** A number of things, or the usual one. @internal */
export function checkCount(name: string, value: number | undefined, usual: number, least = 1): number {
  return checkInteger(name, value ?? usual, least, 2 ** 31 - 1);
}

/** The seed of random directions. @internal */
export function checkSeed(seed: number | undefined): number {
  return checkInteger('seed', seed ?? 0, 0, 2 ** 32 - 1);
}

/** Directions given by the user: `rows` rows laid out as the parameters; null where left out. @internal */
export function checkDirections(name: string, value: Vector | undefined, rows: number, run: Run): NativeVector | null {
  if (value === undefined) return null;
  if (!(value instanceof Vector) || (value.dtype !== 'float32' && value.dtype !== 'float64'))
    throw invalidArgument(name, 'a Vector of float32 or float64', value);
  if (value.device !== 'cpu') throw unexpected(name, 'a Vector on the cpu', `one on ${value.device}`);
  if (value.rows === rows && value.size === run.vectorSize) return value.native;
  const shape = `${rows} x ${run.vectorSize}`;
  throw new PtmzError('SHAPE_MISMATCH', `${name}: expected a Vector of ${shape}, got ${value.rows} x ${value.size}`, {
    hint: 'size: run.vectorSize; one row for each random direction of each member',
  });
}
