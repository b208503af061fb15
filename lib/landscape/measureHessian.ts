/** measureHessian: a native measure of curvature over some samples, from the request that all of them make to its end. */
import { checkInteger } from '../errors.js';
import type { Split } from '../data/split.js';
import type { NativeJob } from '../native.js';
import { BatchPrograms, hessianProgram } from '../train/batches.js';
import { sampleShape, windowOf } from '../models/trainable.js';
import { awaitJob } from '../train/job.js';
import { checkJobOptions, parameterRanges, type Run } from '../train/run.js';
import { checkCount, type SampleOptions } from './options.js';

type Request = ReturnType<typeof hessianRequest>['request'];
type Report = (fields: number[]) => void;

/** Seconds to the end, by the part of the work that is done. @internal */
export type Eta = (fraction: number) => number;

/**
 * Checks the options of samples, compiles, and waits for a job; what it reports goes to `onProgress` as `describe` puts
 * it. Called after the checks of the measure itself.
 *
 * @internal
 */
export async function measureHessian<Result, Progress>(
  run: Run,
  data: Split,
  options: SampleOptions & { onProgress?: (progress: Progress) => void },
  describe: (fields: number[], eta: Eta) => Progress,
  start: (request: Request, report: Report | undefined) => NativeJob<Result>,
): Promise<Result> {
  const { programs, request } = hessianRequest(run, data, options);
  using _ = programs;
  const { onProgress, signal } = options;
  const eta = stopwatch();
  const report = onProgress && ((fields: number[]) => onProgress(describe(fields, eta)));
  return await awaitJob(() => start(request, report), signal);
}

function hessianRequest(run: Run, data: Split, options: SampleOptions) {
  const count = checkInteger('samples', options.samples ?? data.count, 1, data.count);
  const batchSize = checkCount('batchSize', options.batchSize, 64);
  const job = checkJobOptions(options);
  options.signal?.throwIfAborted();
  const { params, buffers } = run.vectors;
  const programs = new BatchPrograms(count, batchSize, (batch) =>
    hessianProgram(run.model, batch, { ...run.settings, device: run.device }, windowOf(data)),
  );
  const request = {
    ...programs.native,
    data: { ...data.native, count },
    params: params.native,
    buffers: buffers?.native ?? null,
    classes: sampleShape(run.model).classes,
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

function stopwatch(): Eta {
  const began = performance.now();
  return (fraction) => (fraction > 0 ? ((performance.now() - began) / 1000) * (1 / fraction - 1) : NaN);
}
