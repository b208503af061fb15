/** Training of any model: options, their checks, and the two ways to start. */
import {
  checkArray,
  checkBoolean,
  checkInteger,
  checkObject,
  checkOneOf,
  invalidArgument,
  PtmzError,
} from '../errors.js';
import { DataSplit, type DataSet } from '../data/dataset.js';
import { checkModel, type Model } from '../models/model.js';
import { checkAugment, type Augment } from './augment.js';
import type { RealType } from './batches.js';
import { checkOptimizer, perMember, type Optimizer, type OptimizerName, type OptimizerOptions } from './optimizers.js';
import { Run, type RunTrainOptions } from './run.js';
import { saveKeys } from './saving.js';
import type { Schedule, ScheduleName } from './schedules.js';

/** How a population is trained. What takes a list may differ from member to member. */
export interface TrainOptions {
  model: Model;
  data: DataSet;
  /** Samples per step; the last step of an epoch takes what is left. */
  batchSize: number;
  epochs: number;
  /** One per member, integers in [0, 2^53): first values, data order and all random numbers come from them. */
  seeds: readonly number[];
  /** Peak learning rate; default 0.1. */
  lr?: number | readonly number[];
  /** Default `sgd`. An object holds all settings of the optimizer. */
  optimizer?: OptimizerName | Optimizer;
  /** Short for that of the optimizer; parameters with `decay: false` are left out. Default 0, of AdamW 0.01. */
  weightDecay?: number | readonly number[];
  /** Short for that of SGD; default 0.9. Used where the schedule does not set it. */
  momentum?: number;
  /** Short for that of SGD; default false. */
  nesterov?: boolean;
  /** Default `onecycle`. */
  schedule?: ScheduleName | Schedule;
  /** Epochs between evaluations on the test images; the last epoch is always evaluated. Default 1. */
  evaluateEvery?: number;
  /** Samples per evaluation step; default 128. It changes nothing but speed and memory. */
  evaluationBatch?: number;
  /** Default `float32`. */
  dtype?: RealType;
  /** Whether each member sees the samples in an order of its own, new in every epoch; default true. */
  shuffle?: boolean;
  /** What is done to the training images, anew in every epoch; default: nothing. Evaluation sees them as they are. */
  augment?: Augment;
}

/** What {@link train} takes beside {@link TrainOptions}. */
export type TrainJobOptions = RunTrainOptions;

const jobKeys = ['signal', 'threads', 'memoryLimit', 'until', 'onProgress', ...saveKeys] as const;
const keys = [
  ...['model', 'data', 'batchSize', 'epochs', 'seeds', 'lr', 'optimizer', 'weightDecay', 'momentum', 'nesterov'],
  ...['schedule', 'evaluateEvery', 'evaluationBatch', 'dtype', 'shuffle', 'augment'],
];

/** @internal */
export function checkDataSet(data: DataSet): DataSet {
  checkObject('data', data);
  if (!(data.train instanceof DataSplit))
    throw invalidArgument('data.train', 'images made by arrays() or a reader', data.train);
  if (data.test !== undefined && !(data.test instanceof DataSplit))
    throw invalidArgument('data.test', 'images made by arrays() or a reader', data.test);
  return data;
}

/** @internal */
export function checkFits(model: Model, split: DataSplit, name: string): void {
  const [, ...sample] = split.shape;
  if (model.input.some((size, i) => size !== sample[i]))
    throw new PtmzError(
      'SHAPE_MISMATCH',
      `${name}: ${model.name} takes images of ${model.input.join(' x ')}, these are ${sample.join(' x ')}`,
    );
  if (split.classes > model.classes)
    throw invalidArgument(name, `at most ${model.classes} classes for ${model.name}`, split.classes);
}

/**
 * Checks all options and makes a population with its first values, without training it: `run.train()` does that, and
 * goes on after an abort.
 *
 * @throws PtmzError `INVALID_ARGUMENT`, `SHAPE_MISMATCH`, `OUT_OF_MEMORY`
 * @example
 * ```ts
 * import { digits, prepare, resnet } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * const model = resnet({ depth: 18, width: 2, input: [1, 8, 8], classes: 10 });
 * using run = prepare({ model, data, batchSize: 50, epochs: 1, seeds: [0, 1], lr: [0.1, 0.05] });
 * run.stateDict(0)['fc.bias']?.data; // 0.01 everywhere
 * await run.train();
 * ```
 */
export function prepare(options: TrainOptions): Run {
  checkObject('options', options, keys);
  const model = checkModel(options.model);
  const data = checkDataSet(options.data);
  checkFits(model, data.train, 'data.train');
  if (data.test) checkFits(model, data.test, 'data.test');
  const { seeds, batchSize, epochs, optimizer, weightDecay, momentum, nesterov } = options;
  checkArray('seeds', seeds);
  if (seeds.length === 0) throw invalidArgument('seeds', 'at least one seed', seeds);
  seeds.forEach((seed, m) => checkInteger(`seeds[${m}]`, seed, 0));
  checkInteger('batchSize', batchSize, 1, 2 ** 31 - 1);
  checkInteger('epochs', epochs, 1, 2 ** 31 - 1);
  return new Run({
    model,
    data,
    batchSize,
    epochs,
    seeds: [...seeds],
    lr: perMember('lr', options.lr ?? 0.1, seeds.length),
    optimizer: checkOptimizer({ optimizer, weightDecay, momentum, nesterov } as OptimizerOptions, seeds.length),
    schedule: options.schedule ?? 'onecycle',
    evaluateEvery: checkInteger('evaluateEvery', options.evaluateEvery ?? 1, 1),
    evaluationBatch: checkInteger('evaluationBatch', options.evaluationBatch ?? 128, 1),
    dtype: checkOneOf('dtype', options.dtype ?? 'float32', ['float32', 'float64']),
    shuffle: checkBoolean('shuffle', options.shuffle ?? true),
    augment: checkAugment(options.augment),
  });
}

/**
 * Trains a population of any model with SGD or AdamW.
 *
 * @returns the run, with history and parameters; dispose of it
 * @throws PtmzError as {@link prepare} and {@link Run.train}; with an aborted signal it rejects with `signal.reason`
 * @example
 * ```ts
 * import { digits, linear, train } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * using run = await train({
 *   model: {
 *     name: 'mlp',
 *     input: [1, 8, 8],
 *     classes: 10,
 *     build(graph, x) {
 *       const init = { kind: 'kaimingUniform' } as const;
 *       const hidden = linear(x.reshape([-1, 64]), graph.param('w1', [32, 64], { init })).tanh();
 *       return linear(hidden, graph.param('w2', [10, 32], { init }));
 *     },
 *   },
 *   data,
 *   batchSize: 20,
 *   epochs: 3,
 *   seeds: [0, 1, 2],
 * });
 * run.history.at(-1)?.testAccuracy;
 * ```
 */
export async function train(options: TrainOptions & TrainJobOptions): Promise<Run> {
  checkObject('options', options, [...keys, ...jobKeys]);
  const job: Record<string, unknown> = {};
  const rest: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(options))
    ((jobKeys as readonly string[]).includes(key) ? job : rest)[key] = value;
  const run = prepare(rest as unknown as TrainOptions);
  try {
    return await run.train(job as TrainJobOptions);
  } catch (error) {
    run.dispose();
    throw error;
  }
}
