/** Evaluation of a run on any samples. */
import { checkObject, invalidArgument } from '../errors.js';
import { Split } from '../data/split.js';
import { loadNative } from '../load.js';
import { awaitJob, type JobOptions } from './job.js';
import { checkJobOptions, Run } from './run.js';
import { checkFits, sampleShape } from '../models/trainable.js';

/** One value per member. */
export interface Evaluation {
  loss: number[];
  accuracy: number[];
}

/**
 * Mean loss and accuracy of every member over all images, in evaluation mode.
 *
 * @throws PtmzError `INVALID_ARGUMENT`, `SHAPE_MISMATCH` where the images do not fit the model, `BUSY`, `DISPOSED`
 * @example
 * ```ts
 * import { digits, evaluate, trainResNet } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainResNet({ depth: 18, width: 2, data, batchSize: 50, epochs: 1, seeds: [0] });
 * const { loss, accuracy } = await evaluate(run, data.train);
 * ```
 */
export async function evaluate(
  run: Run,
  data: Split,
  options: JobOptions & { onProgress?: (fraction: number) => void } = {},
): Promise<Evaluation> {
  if (!(run instanceof Run)) throw invalidArgument('run', 'a Run', run);
  if (!(data instanceof Split)) throw invalidArgument('data', 'samples such as data.train', data);
  checkObject('options', options, ['signal', 'threads', 'memoryLimit', 'onProgress']);
  checkFits(run.model, data, 'data');
  const job = checkJobOptions(options);
  const { onProgress } = options;
  const programs = run.evaluationPrograms(data).native;
  const request = {
    ...programs,
    data: data.native,
    members: run.members,
    classes: sampleShape(run.model).classes,
    ...job,
  };
  return awaitJob(
    () => loadNative().evaluate(request, onProgress && (([fraction]) => onProgress(fraction!))),
    options.signal,
  );
}
