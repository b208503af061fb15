/** What every measure of curvature takes: samples, their checks, and the native request they make. */
import { checkInteger, invalidArgument, PtmzError } from '../errors.js';
import { DataSplit } from '../data/dataset.js';
import { Vector } from '../graph/vector.js';
import { BatchPrograms, hessianProgram } from '../train/batches.js';
import type { JobOptions } from '../train/job.js';
import { checkJobOptions, parameterRanges, Run } from '../train/run.js';
import { checkFits } from '../train/trainer.js';

/** The samples over which the Hessian is taken: the Hessian of their mean loss, batch norm in evaluation mode. */
export interface SampleOptions extends JobOptions {
  /** The first so many; default: all. */
  samples?: number;
  /** Samples in memory at once; default 64. It changes nothing but speed, memory and rounding. */
  batchSize?: number;
}

/** Names of {@link SampleOptions}, and of `onProgress`. @internal */
export const sampleKeys = ['samples', 'batchSize', 'signal', 'threads', 'memoryLimit', 'onProgress'];

/** The first checks of every measure: population and images. @internal */
export function checkMeasured(run: Run, data: DataSplit, onProgress: unknown): void {
  if (!(run instanceof Run)) throw invalidArgument('run', 'a Run', run);
  if (!(data instanceof DataSplit)) throw invalidArgument('data', 'images such as data.train', data);
  checkFits(run.model, data, 'data');
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw invalidArgument('onProgress', 'a function', onProgress);
}

/** Checks the options of samples and compiles, after {@link checkMeasured}. Dispose of `programs`. @internal */
export function hessianRequest(run: Run, data: DataSplit, options: SampleOptions) {
  const count = checkInteger('samples', options.samples ?? data.count, 1, data.count);
  const batchSize = checkInteger('batchSize', options.batchSize ?? 64, 1, 2 ** 31 - 1);
  const job = checkJobOptions(options);
  options.signal?.throwIfAborted();
  const { params, buffers } = run.vectors;
  const programs = new BatchPrograms(count, batchSize, (batch) => hessianProgram(run.model, batch, run.settings.dtype));
  const request = {
    ...programs.native,
    data: { ...data.native, count },
    params: params.native,
    buffers: buffers?.native ?? null,
    classes: run.model.classes,
    ...job,
  };
  return { programs, request };
}

/** What random directions are drawn from. @internal */
export const probeRequest = (run: Run, stream: number) => ({
  ranges: parameterRanges(run.layout.params),
  seeds: [...run.seeds],
  stream,
});

/** Directions given by the user: `rows` rows laid out as the parameters; null where left out. @internal */
export function checkDirections(name: string, value: Vector | undefined, rows: number, run: Run): Vector | null {
  if (value === undefined) return null;
  if (!(value instanceof Vector) || (value.dtype !== 'float32' && value.dtype !== 'float64'))
    throw invalidArgument(name, 'a Vector of float32 or float64', value);
  if (value.rows === rows && value.size === run.vectorSize) return value;
  const shape = `${rows} x ${run.vectorSize}`;
  throw new PtmzError('SHAPE_MISMATCH', `${name}: expected a Vector of ${shape}, got ${value.rows} x ${value.size}`, {
    hint: 'size: run.vectorSize; one row for each random direction of each member',
  });
}

/** Seconds to the end, by the part of the work that is done. @internal */
export function stopwatch(): (fraction: number) => number {
  const began = performance.now();
  return (fraction) => (fraction > 0 ? ((performance.now() - began) / 1000) * (1 / fraction - 1) : NaN);
}
