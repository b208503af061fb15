/** Curvature of the loss: Hessian-vector products and the trace, per member, over any number of samples. */
import { checkInteger, checkNumber, checkObject, invalidArgument } from '../errors.js';
import { DataSplit } from '../data/dataset.js';
import { Vector } from '../graph/vector.js';
import { loadNative } from '../load.js';
import { BatchPrograms, hessianProgram } from '../train/batches.js';
import { awaitJob, type JobOptions } from '../train/job.js';
import { checkJobOptions, parameterRanges, Run } from '../train/run.js';
import { checkFits } from '../train/trainer.js';

/** The samples over which the Hessian is taken: the Hessian of their mean loss, batch norm in evaluation mode. */
export interface SampleOptions extends JobOptions {
  /** The first so many; default: all. */
  samples?: number;
  /** Samples in memory at once; default 64. It changes nothing but speed, memory and rounding. */
  batchSize?: number;
}

const sampleKeys = ['samples', 'batchSize', 'signal', 'threads', 'memoryLimit', 'onProgress'];

function hessianRequest(run: Run, data: DataSplit, options: SampleOptions) {
  if (!(run instanceof Run)) throw invalidArgument('run', 'a Run', run);
  if (!(data instanceof DataSplit)) throw invalidArgument('data', 'images such as data.train', data);
  checkFits(run.model, data, 'data');
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
  trace: number;
  standardError: number;
}

export interface HessianTraceOptions extends SampleOptions {
  /** Random vectors per member, at most; default 100. */
  probes?: number;
  /** Stop a member once its standard error is below rtol * |mean|, checked every `block` probes; default: never. */
  rtol?: number;
  /** Probes that run as one population; default 16. */
  block?: number;
  /** Another seed gives other probes; default 0. Probes also differ from member to member, by the members' seeds. */
  seed?: number;
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
 * @throws PtmzError `INVALID_ARGUMENT`, `SHAPE_MISMATCH`, `BUSY`, `DISPOSED`, `OUT_OF_MEMORY`
 * @example
 * ```ts
 * import { digits, hessianTrace, trainResNet } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * using run = await trainResNet({ depth: 18, width: 2, data, batchSize: 50, epochs: 1, seeds: [0, 1] });
 * const { trace, standardError, samples } = await hessianTrace(run, data.train, { probes: 4, samples: 50 });
 * ```
 */
export async function hessianTrace(
  run: Run,
  data: DataSplit,
  options: HessianTraceOptions = {},
): Promise<HessianTrace> {
  checkObject('options', options, [...sampleKeys, 'probes', 'rtol', 'block', 'seed']);
  const probes = checkInteger('probes', options.probes ?? 100, 1, 2 ** 31 - 1);
  const rtol = checkNumber('rtol', options.rtol ?? 0, 0, Number.MAX_VALUE);
  const block = checkInteger('block', options.block ?? 16, 1, 2 ** 31 - 1);
  const stream = checkInteger('seed', options.seed ?? 0, 0, 2 ** 32 - 1);
  const { onProgress } = options;
  const report = (fields: number[]) => {
    const [member, members, samples, most, fraction, trace, standardError] = fields as [
      ...[number, number, number, number, number, number, number],
    ];
    onProgress!({ member, members, samples, probes: most, fraction, trace, standardError });
  };
  const { programs, request } = hessianRequest(run, data, options);
  using _ = programs;
  const seeds = [...run.seeds];
  const ranges = parameterRanges(run.layout.params);
  const estimates = await awaitJob(
    () => loadNative().hutchinson({ ...request, ranges, seeds, stream, probes, block, rtol }, onProgress && report),
    options.signal,
  );
  return {
    trace: estimates.map((e) => e.trace),
    standardError: estimates.map((e) => e.standardError),
    samples: estimates.map((e) => e.samples),
  };
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
  data: DataSplit,
  directions: Vector,
  options: SampleOptions & { onProgress?: (fraction: number) => void } = {},
): Promise<Vector> {
  checkObject('options', options, sampleKeys);
  const { onProgress } = options;
  if (!(directions instanceof Vector)) throw invalidArgument('directions', 'a Vector', directions);
  const { programs, request } = hessianRequest(run, data, options);
  using _ = programs;
  const result = new Vector('float64', run.members, run.vectors.params.size);
  try {
    await awaitJob(
      () =>
        loadNative().hvp(
          { ...request, directions: directions.native, result: result.native },
          onProgress && (([fraction]) => onProgress(fraction!)),
        ),
      options.signal,
    );
    return result;
  } catch (error) {
    result.dispose();
    throw error;
  }
}
