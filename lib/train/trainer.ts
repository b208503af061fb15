/** Training of any model: options, their checks, and the two ways to start. */
import {
  checkArray,
  checkBoolean,
  checkInteger,
  checkNumber,
  checkObject,
  checkOneOf,
  invalidArgument,
  PtmzError,
} from '../errors.js';
import type { DataSet } from '../data/dataset.js';
import { checkDevice } from '../device.js';
import { Split } from '../data/split.js';
import type { WindowSplit } from '../data/windowSplit.js';
import type { LanguageModel } from '../models/gpt2.js';
import type { Model } from '../models/model.js';
import { problemData, type Problem } from '../models/problem.js';
import { buildBatch, checkFits, checkTrainable, isProblem } from '../models/trainable.js';
import { checkPrecision, type Precision } from '../precision.js';
import { augments, checkAugment, checkAugmentFits, type Augment } from './augment.js';
import type { RealType } from './batches.js';
import { checkOptimizer, perMember, type Optimizer, type OptimizerName, type OptimizerOptions } from './optimizers.js';
import { Run, type RunSettings, type RunTrainOptions } from './run.js';
import { saveKeys } from './saving.js';
import type { Schedule, ScheduleName } from './schedules.js';

/** How a population is trained, whatever it is. What takes a list may differ from member to member. */
export interface TrainSettings {
  epochs: number;
  /** One per member, integers in [0, 2^53): first values, data order and all random numbers come from them. */
  seeds: readonly number[];
  /** Peak learning rate; default 0.1, of L-BFGS 1: the first trial of every line search. */
  lr?: number | readonly number[];
  /** Default `sgd`. An object holds all settings of the optimizer. */
  optimizer?: OptimizerName | Optimizer;
  /** Short for that of the optimizer; default 0, of AdamW 0.01. */
  weightDecay?: number | readonly number[];
  /** Which parameters weight decay pulls on: as the `model` declares (default), `all`, or `matrices`, of 2 axes or more. */
  decay?: 'model' | 'all' | 'matrices';
  /** Short for that of SGD and RMSprop. Used where the schedule does not set it. */
  momentum?: number;
  /** Short for that of SGD; default false. */
  nesterov?: boolean;
  /** Default `onecycle`; of L-BFGS `constant`. */
  schedule?: ScheduleName | Schedule;
  /** Largest norm of a member's gradient; longer ones are scaled down (torch's clip_grad_norm_). Default: any. */
  clip?: number;
  /** Decay of a moving average of the parameters, in (0, 1), such as 0.999; see {@link Run.stateDict}. Default: none. */
  average?: number;
  /** Epochs between evaluations; the last epoch is always evaluated. Default 1. */
  evaluateEvery?: number;
  /** Default `float32`. */
  dtype?: RealType;
  /**
   * Where it is trained: `cpu` (default), `cuda` or `cuda:N`. Samples, parameters and the optimizer's state then lie in
   * that device's memory; of L-BFGS losses and gradients are computed there, and the rest on the CPU.
   */
  device?: string;
  /**
   * What matrix products and convolutions round their factors to, in float32 on a CUDA device; default `float32`: not at
   * all. `tf32` is what PyTorch's convolutions do there. Its evaluation and the measures of curvature do the same;
   * {@link loadRun} can choose another one for these.
   */
  precision?: Precision;
}

/** How a population of classifiers or language models is trained. */
export interface TrainOptions extends TrainSettings {
  model: Model | LanguageModel;
  /** Images for classifiers; what {@link text} or {@link tokens} gives for language models. */
  data: DataSet | DataSet<WindowSplit>;
  /** Samples per step; the last step of an epoch takes what is left. */
  batchSize: number;
  /**
   * Steps are taken on the gradients of so many batches, which is the gradient of a batch that many times as large, up
   * to batch norm. The last step of an epoch takes what is left. Default 1.
   */
  accumulate?: number;
  /** Samples per evaluation step; default 128. It changes nothing but speed and memory. */
  evaluationBatch?: number;
  /** Whether each member sees the samples in an order of its own, new in every epoch; default true. */
  shuffle?: boolean;
  /** What is done to the training images, anew in every epoch; default: nothing. Evaluation sees them as they are. */
  augment?: Augment;
  /** How much of each label is spread over all classes while training, in [0, 1]; default 0. */
  labelSmoothing?: number;
  /**
   * `ptmz`: accumulate as the published zoos did. The schedule is made for all batches but moves once per step, so that
   * it is cut short; batches left over at the end of an epoch go into the first step of the next one; the losses of the
   * history are divided by `accumulate`.
   */
  compat?: 'ptmz';
}

/** How a population of problems is trained: all members together, on the same points. */
export interface ProblemTrainOptions extends TrainSettings {
  model: Problem;
  /** One number, or one per member, for each constant that the problem names. */
  constants?: Record<string, number | readonly number[]>;
  /** Steps that count as an epoch, after which it is evaluated and recorded; default 100. */
  stepsPerEpoch?: number;
}

/** What {@link train} takes beside its settings. */
export type TrainJobOptions = RunTrainOptions;

const jobKeys = ['signal', 'threads', 'memoryLimit', 'until', 'onProgress', ...saveKeys] as const;
const sharedKeys = [
  ...['model', 'epochs', 'seeds', 'lr', 'optimizer', 'weightDecay', 'decay', 'momentum', 'nesterov', 'schedule'],
  ...['clip', 'average', 'evaluateEvery', 'dtype', 'device', 'precision'],
];
const sampleKeys = [
  ...['data', 'batchSize', 'accumulate', 'evaluationBatch', 'shuffle', 'augment', 'labelSmoothing', 'compat'],
];
const problemKeys = ['constants', 'stepsPerEpoch'];

/** @internal */
export function checkDataSet<S extends Split>(data: DataSet<S>): DataSet<S> {
  checkObject('data', data);
  if (!(data.train instanceof Split))
    throw invalidArgument('data.train', 'images made by arrays() or a reader', data.train);
  if (data.test !== undefined && !(data.test instanceof Split))
    throw invalidArgument('data.test', 'images made by arrays() or a reader', data.test);
  return data;
}

/** Settings that all kinds of runs have; those that are left out have no key, as in checkpoints of earlier versions. */
function sharedSettings(options: TrainSettings) {
  const { seeds, epochs, optimizer, weightDecay, momentum, nesterov, decay, clip, average } = options;
  checkArray('seeds', seeds);
  if (seeds.length === 0) throw invalidArgument('seeds', 'at least one seed', seeds);
  seeds.forEach((seed, m) => checkInteger(`seeds[${m}]`, seed, 0));
  checkInteger('epochs', epochs, 1, 2 ** 31 - 1);
  if (decay !== undefined) checkOneOf('decay', decay, ['model', 'all', 'matrices']);
  if (clip !== undefined) checkNumber('clip', clip, Number.MIN_VALUE, Number.MAX_VALUE);
  if (average !== undefined && !(checkNumber('average', average, 0, 1) > 0 && average < 1))
    throw invalidArgument('average', 'a number in (0, 1)', average);
  const settings = checkOptimizer({ optimizer, weightDecay, momentum, nesterov } as OptimizerOptions, seeds.length);
  const lbfgs = settings.kind === 'lbfgs';
  const dtype = checkOneOf('dtype', options.dtype ?? 'float32', ['float32', 'float64']);
  const precision = checkPrecision(options.precision, { dtype, device: deviceOf(options) });
  if (lbfgs && clip !== undefined)
    throw new PtmzError(
      'INVALID_ARGUMENT',
      "clip is no setting of the optimizer 'lbfgs', whose line search needs the gradient",
    );
  return {
    epochs,
    seeds: [...seeds],
    lr: perMember('lr', options.lr ?? (lbfgs ? 1 : 0.1), seeds.length),
    optimizer: settings,
    schedule: options.schedule ?? (lbfgs ? 'constant' : 'onecycle'),
    evaluateEvery: checkInteger('evaluateEvery', options.evaluateEvery ?? 1, 1),
    dtype,
    ...(precision !== 'float32' && { precision }),
    ...(decay !== undefined && decay !== 'model' && { decay }),
    ...(clip !== undefined && { clip }),
    ...(average !== undefined && { average }),
  };
}

const deviceOf = ({ device }: TrainSettings) => checkDevice('device', device ?? 'cpu');

function prepareProblem(options: ProblemTrainOptions): Run {
  checkObject('options', options, [...sharedKeys, ...problemKeys]);
  const { model, seeds } = options;
  const settings = sharedSettings(options);
  const given = options.constants ?? {};
  checkObject('constants', given, [...(model.constants ?? [])]);
  const missing = model.constants?.find((name) => given[name] === undefined);
  if (missing !== undefined) throw invalidArgument(`constants.${missing}`, `a number, of ${model.name}`, undefined);
  const constants = Object.entries(given).map(([name, value]) => {
    const values = typeof value === 'number' ? new Array<number>(seeds.length).fill(value) : value;
    checkArray(`constants.${name}`, values, seeds.length);
    return [name, values.map((x, m) => checkNumber(`constants.${name}[${m}]`, x))] as const;
  });
  const { graph, error } = buildBatch(model, 1, { training: true });
  using _ = graph;
  return new Run(
    {
      ...{ model, data: problemData(model, graph, error !== undefined), batchSize: 1, evaluationBatch: 1 },
      ...settings,
      ...{ shuffle: false, augment: checkAugment(undefined) },
      constants: Object.fromEntries(constants),
      stepsPerEpoch: checkInteger('stepsPerEpoch', options.stepsPerEpoch ?? 100, 1, 2 ** 31 - 1),
    },
    deviceOf(options),
  );
}

function prepareSamples(options: TrainOptions): Run {
  checkObject('options', options, [...sharedKeys, ...sampleKeys]);
  const { model, labelSmoothing, accumulate = 1, compat } = options;
  const data = checkDataSet<Split>(options.data);
  checkFits(model, data.train, 'data.train');
  if (data.test) checkFits(model, data.test, 'data.test');
  const settings = sharedSettings(options);
  const batchSize = checkInteger('batchSize', options.batchSize, 1, 2 ** 31 - 1);
  checkInteger('accumulate', accumulate, 1, 2 ** 31 - 1);
  const augment = checkAugment(options.augment);
  if (compat !== undefined) checkOneOf('compat', compat, ['ptmz']);
  if (compat && accumulate > Math.ceil(data.train.count / batchSize))
    throw invalidArgument(
      'accumulate',
      'at most the batches of an epoch, of which compat leaves the rest over',
      accumulate,
    );
  if (labelSmoothing !== undefined) checkNumber('labelSmoothing', labelSmoothing, 0, 1);
  if (labelSmoothing !== undefined && 'loss' in model && model.loss)
    throw new PtmzError('INVALID_ARGUMENT', `labelSmoothing belongs into the loss that ${model.name} has`);
  if (augments(augment) && !('classes' in model))
    throw new PtmzError('INVALID_ARGUMENT', `augment is for images, ${model.name} takes none`);
  if ('classes' in model) checkAugmentFits(augment, data.train);
  if (settings.optimizer.kind === 'lbfgs') {
    if (batchSize < data.train.count || accumulate > 1)
      throw invalidArgument('batchSize', `all ${data.train.count} samples for the optimizer 'lbfgs'`, batchSize);
    if (augments(augment))
      throw new PtmzError(
        'INVALID_ARGUMENT',
        "augment changes the loss from step to step; the optimizer 'lbfgs' needs one",
      );
  }
  return new Run(
    {
      ...{ model, data, batchSize },
      ...settings,
      evaluationBatch: checkInteger('evaluationBatch', options.evaluationBatch ?? 128, 1),
      shuffle: checkBoolean('shuffle', options.shuffle ?? true),
      augment,
      ...(accumulate > 1 && { accumulate }),
      ...(labelSmoothing !== undefined && labelSmoothing > 0 && { labelSmoothing }),
      ...(compat && accumulate > 1 && { compat }),
    },
    deviceOf(options),
  );
}

/**
 * Checks all options and makes a population with its first values, without training it: `run.train()` does that, and
 * goes on after an abort.
 *
 * @throws PtmzError `INVALID_ARGUMENT`, `SHAPE_MISMATCH`, `OUT_OF_MEMORY`, `CUDA_UNAVAILABLE`, `UNSUPPORTED`
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
export function prepare(options: TrainOptions | ProblemTrainOptions): Run {
  checkObject('options', options);
  const model = checkTrainable(options.model);
  return isProblem(model) ? prepareProblem(options as ProblemTrainOptions) : prepareSamples(options as TrainOptions);
}

/** As {@link prepare}, from the settings that a run or its checkpoint holds. @internal */
export function prepareSettings(
  settings: Omit<RunSettings, 'data'> & { data?: DataSet<Split> | undefined; device: string },
): Run {
  const { data, batchSize, evaluationBatch, shuffle, augment, weights, ...rest } = settings;
  const samples = { data, batchSize, evaluationBatch, shuffle, augment };
  const run = prepare((isProblem(settings.model) ? rest : { ...rest, ...samples }) as TrainOptions);
  weights?.forEach((sha256, m) => sha256 !== null && run.recordWeights(m, sha256));
  return run;
}

/**
 * Trains a population of any model: classifiers, language models, or problems without samples.
 *
 * @returns the run, with history and parameters; dispose of it
 * @throws PtmzError as {@link prepare} and {@link Run.train}; with an aborted signal it rejects with `signal.reason`
 * @example
 * ```ts
 * import { digits, linear, train, type Model } from 'ptmz-native';
 * const data = await digits({ train: 200, test: 100 });
 * const model: Model = {
 *   name: 'mlp',
 *   input: [1, 8, 8],
 *   classes: 10,
 *   build(graph, x) {
 *     const init = { kind: 'kaimingUniform' } as const;
 *     const hidden = linear(x.reshape([-1, 64]), graph.param('w1', [32, 64], { init })).tanh();
 *     return linear(hidden, graph.param('w2', [10, 32], { init }));
 *   },
 * };
 * using run = await train({ model, data, batchSize: 20, epochs: 3, seeds: [0, 1, 2] });
 * run.history.at(-1)?.testAccuracy;
 * ```
 */
export async function train(options: (TrainOptions | ProblemTrainOptions) & TrainJobOptions): Promise<Run> {
  checkObject('options', options, [...sharedKeys, ...sampleKeys, ...problemKeys, ...jobKeys]);
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
