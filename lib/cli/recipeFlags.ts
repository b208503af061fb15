/** Flags of how a network is trained: steps, optimizer, schedule; and the settings that they and a recipe make. */
import type { Optimizer } from '../train/optimizers.js';
import type { Schedule, ScheduleName } from '../train/schedules.js';
import { unexpected } from '../errors.js';
import { precisions } from '../precision.js';
import { pick, refuseOthers, type FlagTable, type Given } from './flags.js';
import type { Recipe, Takes } from './networks.js';
import { integer, list, number } from './options.js';

const largest = 2 ** 31 - 1;
const samples: Takes[] = ['images', 'text'];

/** What all trainings have; the kinds are what the network is trained on. */
export const trainingFlags: FlagTable = {
  batchSize: {
    flags: '--batch-size <n>',
    description: 'samples per step; default 64',
    parse: integer(1, largest),
    of: samples,
  },
  epochs: { flags: '--epochs <n>', description: 'passes over the samples; default 10', parse: integer(1, largest) },
  stepsPerEpoch: {
    flags: '--steps-per-epoch <n>',
    description: 'of pinn: steps that count as an epoch; default 100',
    parse: integer(1, largest),
    of: ['nothing'],
  },
  seeds: {
    flags: '--seeds <n...>',
    description: 'members of the population, one for each seed; default 0',
    parse: list(integer(0)),
  },
  lr: {
    flags: '--lr <x...>',
    description: "peak learning rate, one or one per seed; default: the network's, or the optimizer's",
    parse: list(number(0)),
  },
  accumulate: {
    flags: '--accumulate <n>',
    description: 'batches whose gradients make one step; default 1',
    parse: integer(1, largest),
    of: samples,
  },
  clip: { flags: '--clip <norm>', description: "largest norm of a member's gradient", parse: number(Number.MIN_VALUE) },
  average: {
    flags: '--average <decay>',
    description: 'keep a moving average of the weights, such as 0.999',
    parse: number(0, 1),
  },
  labelSmoothing: {
    flags: '--label-smoothing <x>',
    description: 'how much of each label is spread over all classes',
    parse: number(0, 1),
    of: samples,
  },
  decay: {
    flags: '--decay <which>',
    description: 'parameters that weight decay pulls on',
    choices: ['model', 'all', 'matrices'],
  },
  shuffle: { flags: '--no-shuffle', description: 'samples in the order in which they are stored', of: samples },
  evaluateEvery: {
    flags: '--evaluate-every <epochs>',
    description: 'epochs between evaluations on the test samples; default 1',
    parse: integer(1),
  },
  evaluationBatch: {
    flags: '--evaluation-batch <n>',
    description: 'samples per evaluation step; default 128',
    parse: integer(1, largest),
    of: samples,
  },
  dtype: {
    flags: '--dtype <type>',
    description: 'of all numbers; default float32',
    choices: ['float32', 'float64'],
  },
  precision: {
    flags: '--precision <name>',
    description: 'of products in float32 on a CUDA device; default float32',
    choices: [...precisions],
  },
  compat: {
    flags: '--compat <name>',
    description: 'accumulate as the published zoos did, with their cut schedule',
    choices: ['ptmz'],
    of: samples,
  },
};

/** `--optimizer` and what belongs to it; the kinds are optimizers. */
export const optimizerFlags: FlagTable = {
  momentum: {
    flags: '--momentum <x>',
    description: 'of sgd and rmsprop, where the schedule does not set it; default 0.9, of rmsprop 0',
    parse: number(0, 1),
    of: ['sgd', 'rmsprop'],
  },
  nesterov: { flags: '--nesterov', description: 'of sgd: momentum as Nesterov', of: ['sgd'] },
  weightDecay: {
    flags: '--weight-decay <x...>',
    description: 'of all but lbfgs; one or one per seed',
    parse: list(number(0)),
    of: ['sgd', 'adam', 'adamw', 'rmsprop'],
  },
  betas: {
    flags: '--betas <x...>',
    description: 'of adam and adamw, two; default 0.9 0.999, of gpt2 0.9 0.95',
    parse: list(number(0, 1)),
    of: ['adam', 'adamw'],
  },
  eps: {
    flags: '--eps <x>',
    description: 'of adam, adamw and rmsprop; default 1e-8',
    parse: number(0),
    of: ['adam', 'adamw', 'rmsprop'],
  },
  alpha: { flags: '--alpha <x>', description: 'of rmsprop; default 0.99', parse: number(0, 1), of: ['rmsprop'] },
  historySize: {
    flags: '--history-size <n>',
    description: 'of lbfgs: pairs that are kept; default 100, of pinn 50',
    parse: integer(1, 2 ** 20),
    of: ['lbfgs'],
  },
  toleranceGrad: {
    flags: '--tolerance-grad <x>',
    description: 'of lbfgs, on the gradient; default 1e-7',
    parse: number(0),
    of: ['lbfgs'],
  },
  toleranceChange: {
    flags: '--tolerance-change <x>',
    description: 'of lbfgs, on a step; default 1e-9, of pinn 1e-7',
    parse: number(0),
    of: ['lbfgs'],
  },
  lineSearch: {
    flags: '--line-search <n>',
    description: 'of lbfgs: evaluations of a line search at most; default 25',
    parse: integer(1, largest),
    of: ['lbfgs'],
  },
};

/** `--schedule` and what belongs to it; the kinds are schedules. */
export const scheduleFlags: FlagTable = {
  warmup: {
    flags: '--warmup <steps>',
    description: 'of all but onecycle: in which the rate rises linearly; default 0',
    parse: integer(0, largest),
    of: ['cosine', 'step', 'constant'],
  },
  minRatio: {
    flags: '--min-ratio <x>',
    description: 'of cosine: the last rate by --lr',
    parse: number(0, 1),
    of: ['cosine'],
  },
  period: {
    flags: '--period <steps>',
    description: 'of cosine: its length; default: all steps',
    parse: integer(1, largest),
    of: ['cosine'],
  },
  milestones: {
    flags: '--milestones <x...>',
    description: 'of step: parts of all steps; default 0.5 0.75',
    parse: list(number(0, 1)),
    of: ['step'],
  },
  gamma: { flags: '--gamma <x>', description: 'of step, at each of them; default 0.1', parse: number(0), of: ['step'] },
  pctStart: {
    flags: '--pct-start <x>',
    description: 'of onecycle: part of the steps in which the rate rises; default 0.3',
    parse: number(0, 1),
    of: ['onecycle'],
  },
  anneal: {
    flags: '--anneal <kind>',
    description: 'of onecycle; default cos',
    choices: ['cos', 'linear'],
    of: ['onecycle'],
  },
  cycleMomentum: {
    flags: '--no-cycle-momentum',
    description: 'of onecycle: momentum, or the first beta, stays as it is',
    of: ['onecycle'],
  },
  baseMomentum: {
    flags: '--base-momentum <x>',
    description: 'of onecycle; default 0.85',
    parse: number(0, 1),
    of: ['onecycle'],
  },
  maxMomentum: {
    flags: '--max-momentum <x>',
    description: 'of onecycle; default 0.95',
    parse: number(0, 1),
    of: ['onecycle'],
  },
  divFactor: {
    flags: '--div-factor <x>',
    description: 'of onecycle: the peak by the first rate; default 25',
    parse: number(Number.MIN_VALUE),
    of: ['onecycle'],
  },
  finalDivFactor: {
    flags: '--final-div-factor <x>',
    description: 'of onecycle: the first rate by the last; default 10000',
    parse: number(Number.MIN_VALUE),
    of: ['onecycle'],
  },
  threePhase: { flags: '--three-phase', description: 'of onecycle: rise, fall, annihilate', of: ['onecycle'] },
};

/** torch's defaults, where the optimizer is not the network's own; SGD has that of the ResNet zoos. */
const rates: Record<Optimizer['kind'], number> = { sgd: 0.1, adam: 1e-3, adamw: 1e-3, rmsprop: 1e-2, lbfgs: 1 };

/** Names that {@link optimizerFlags} and {@link scheduleFlags} know. */
export const optimizerNames = Object.keys(rates);
export const scheduleNames: ScheduleName[] = ['onecycle', 'cosine', 'step', 'constant'];

/**
 * Rate, optimizer and schedule: those of the recipe, changed by the flags. Another optimizer than the recipe's has its
 * own defaults, and so has another schedule.
 *
 * @throws PtmzError `INVALID_ARGUMENT` for a flag of another optimizer or schedule
 */
export function chooseRecipe(
  recipe: Recipe,
  given: Given,
): Pick<Recipe, 'lr' | 'optimizer' | 'schedule'> & { clip?: undefined } {
  const kind = (given['optimizer'] ?? recipe.optimizer.kind) as Optimizer['kind'];
  const own = kind === recipe.optimizer.kind;
  refuseOthers(optimizerFlags, given, kind, `--optimizer ${kind}`);
  const { betas } = given;
  if (Array.isArray(betas) && betas.length !== 2) throw unexpected('--betas', 'two numbers', `${betas.length}`);
  return {
    // Its line search needs the gradient as it is.
    ...(kind === 'lbfgs' && { clip: undefined }),
    lr: own ? recipe.lr : rates[kind],
    optimizer: { ...(own ? recipe.optimizer : { kind }), ...pick(optimizerFlags, given) } as Optimizer,
    schedule: chooseSchedule(!own && kind === 'lbfgs' ? 'constant' : recipe.schedule, given),
  };
}

function chooseSchedule(standard: ScheduleName | Schedule, given: Given): ScheduleName | Schedule {
  const usual = typeof standard === 'string' ? { kind: standard } : standard;
  const kind = (given['schedule'] ?? usual.kind) as ScheduleName;
  refuseOthers(scheduleFlags, given, kind, `--schedule ${kind}`);
  const settings = { ...(kind === usual.kind ? usual : { kind }), ...pick(scheduleFlags, given) } as Schedule;
  return Object.keys(settings).length === 1 ? kind : settings;
}
