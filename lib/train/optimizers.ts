/** Optimizers with torch's settings and defaults, checked before training starts. */
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

/** torch.optim.SGD. */
export interface SGD {
  kind: 'sgd';
  /** Where the schedule does not set it; default 0.9. */
  momentum?: number;
  /** Default false. */
  nesterov?: boolean;
  /** L2, added to the gradient; one number, or one per member; default 0. */
  weightDecay?: number | readonly number[];
}

/** Settings of torch.optim.Adam and AdamW. */
interface Moments {
  /** Of the averages of gradient and squared gradient; a OneCycle schedule cycles the first. Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  eps?: number;
}

/** torch.optim.Adam. */
export interface Adam extends Moments {
  kind: 'adam';
  /** L2, added to the gradient; one number, or one per member; default 0. */
  weightDecay?: number | readonly number[];
}

/** torch.optim.AdamW: decoupled weight decay and bias correction. */
export interface AdamW extends Moments {
  kind: 'adamw';
  /** Each step shrinks the parameters by lr x weightDecay; one number, or one per member; default 0.01. */
  weightDecay?: number | readonly number[];
}

/** torch.optim.RMSprop, not centred. */
export interface RMSprop {
  kind: 'rmsprop';
  /** Of the average of the squared gradient; default 0.99. */
  alpha?: number;
  /** Default 1e-8. */
  eps?: number;
  /** Where the schedule does not set it; default 0. */
  momentum?: number;
  /** L2, added to the gradient; one number, or one per member; default 0. */
  weightDecay?: number | readonly number[];
}

/**
 * torch.optim.LBFGS with the strong Wolfe line search, each member with a line search of its own. One step of the
 * training is one iteration: a direction, and as many evaluations as its line search needs. A member whose gradient,
 * step or change of the loss falls below a tolerance is done and keeps its parameters.
 */
export interface LBFGS {
  kind: 'lbfgs';
  /** Pairs of steps and gradient changes that are kept; default 100. */
  historySize?: number;
  /** On the largest element of the gradient; default 1e-7. */
  toleranceGrad?: number;
  /** On the largest element of a step, the change of the loss and the slope; default 1e-9. */
  toleranceChange?: number;
  /** Evaluations of a line search at most, beside the first; default 25. */
  lineSearch?: number;
}

/** An optimizer with its settings. Weight decay leaves out parameters with `decay: false`. */
export type Optimizer = SGD | Adam | AdamW | RMSprop | LBFGS;
/** An optimizer with its default settings. */
export type OptimizerName = Optimizer['kind'];

interface Decay {
  weightDecay: readonly number[];
}
type Adaptive = { betas: readonly [number, number]; eps: number } & Decay;
/** All settings, weight decay per member. @internal */
export type OptimizerSettings =
  | ({ kind: 'sgd'; momentum: number; nesterov: boolean } & Decay)
  | ({ kind: 'adam' | 'adamw' } & Adaptive)
  | ({ kind: 'rmsprop'; alpha: number; eps: number; momentum: number } & Decay)
  | ({ kind: 'lbfgs' } & Required<Omit<LBFGS, 'kind'>>);

/** The short forms of settings beside `optimizer`. @internal */
export interface OptimizerOptions {
  optimizer?: OptimizerName | Optimizer;
  weightDecay?: number | readonly number[];
  momentum?: number;
  nesterov?: boolean;
}

const kinds = ['sgd', 'adam', 'adamw', 'rmsprop', 'lbfgs'] as const;
const settingNames = {
  sgd: ['momentum', 'nesterov', 'weightDecay'],
  adam: ['betas', 'eps', 'weightDecay'],
  adamw: ['betas', 'eps', 'weightDecay'],
  rmsprop: ['alpha', 'eps', 'momentum', 'weightDecay'],
  lbfgs: ['historySize', 'toleranceGrad', 'toleranceChange', 'lineSearch'],
} as const satisfies Record<OptimizerName, readonly string[]>;

/** One number per member. @internal */
export function perMember(name: string, value: number | readonly number[], members: number): number[] {
  if (!Array.isArray(value)) return new Array<number>(members).fill(checkNumber(name, value, 0, Number.MAX_VALUE));
  checkArray(name, value, members);
  return value.map((number, m) => checkNumber(`${name}[${m}]`, number, 0, Number.MAX_VALUE));
}

function checkBelowOne(name: string, value: number): number {
  checkNumber(name, value, 0, 1);
  if (value === 1) throw invalidArgument(name, 'a number below 1', value);
  return value;
}

function complete(prefix: string, given: Optimizer, members: number): OptimizerSettings {
  const name = (setting: string) => `${prefix}${setting}`;
  const decay = (value: number | readonly number[]) => ({
    weightDecay: perMember(name('weightDecay'), value, members),
  });
  const number = (setting: string, value: number, max = Number.MAX_VALUE) => checkNumber(name(setting), value, 0, max);
  const { kind } = given;
  if (kind === 'sgd') {
    const { momentum = 0.9, nesterov = false, weightDecay = 0 } = given;
    return {
      kind,
      momentum: number('momentum', momentum, 1),
      nesterov: checkBoolean(name('nesterov'), nesterov),
      ...decay(weightDecay),
    };
  }
  if (kind === 'rmsprop') {
    const { alpha = 0.99, eps = 1e-8, momentum = 0, weightDecay = 0 } = given;
    return {
      kind,
      alpha: checkBelowOne(name('alpha'), alpha),
      eps: number('eps', eps),
      momentum: number('momentum', momentum, 1),
      ...decay(weightDecay),
    };
  }
  if (kind === 'lbfgs') {
    const { historySize = 100, toleranceGrad = 1e-7, toleranceChange = 1e-9, lineSearch = 25 } = given;
    return {
      kind,
      historySize: checkInteger(name('historySize'), historySize, 1, 2 ** 20),
      toleranceGrad: number('toleranceGrad', toleranceGrad),
      toleranceChange: number('toleranceChange', toleranceChange),
      lineSearch: checkInteger(name('lineSearch'), lineSearch, 1, 2 ** 31 - 1),
    };
  }
  const { betas = [0.9, 0.999], eps = 1e-8, weightDecay = kind === 'adamw' ? 0.01 : 0 } = given;
  checkArray(name('betas'), betas, 2);
  const [beta1, beta2] = [0, 1].map((i) => checkBelowOne(name(`betas[${i}]`), betas[i as 0 | 1])) as [number, number];
  return { kind, betas: [beta1, beta2], eps: number('eps', eps), ...decay(weightDecay) };
}

/**
 * The settings of the optimizer: an object states them itself; beside a name those that it shares with
 * {@link OptimizerOptions} may stand.
 *
 * @throws PtmzError `INVALID_ARGUMENT`
 * @internal
 */
export function checkOptimizer(options: OptimizerOptions, members: number): OptimizerSettings {
  const { optimizer = 'sgd', ...short } = options;
  const given = Object.entries(short).filter(([, value]) => value !== undefined);
  if (typeof optimizer === 'string') {
    const kind = checkOneOf('optimizer', optimizer, kinds);
    const wrong = given.find(([key]) => !(settingNames[kind] as readonly string[]).includes(key));
    if (wrong) throw new PtmzError('INVALID_ARGUMENT', `${wrong[0]} is no setting of the optimizer '${kind}'`);
    return complete('', { kind, ...Object.fromEntries(given) }, members);
  }
  checkObject('optimizer', optimizer);
  if (given.length > 0)
    throw new PtmzError('INVALID_ARGUMENT', `${given[0]![0]} belongs into optimizer, which is an object here`);
  const kind = checkOneOf('optimizer.kind', optimizer.kind, kinds);
  checkObject('optimizer', optimizer, ['kind', ...settingNames[kind]]);
  return complete('optimizer.', optimizer, members);
}

/** What a schedule that cycles momentum moves: momentum, or the first beta. @internal */
export function cycledMomentum(settings: OptimizerSettings): number {
  if (settings.kind === 'lbfgs') return 0;
  return 'betas' in settings ? settings.betas[0] : settings.momentum;
}

/** Whether there is an average of squared gradients. @internal */
export const hasSecondMoment = ({ kind }: OptimizerSettings): boolean => kind !== 'sgd' && kind !== 'lbfgs';

/** Scalars that L-BFGS keeps per member, in native/solvers/lbfgs.h. @internal */
export const lbfgsColumns = { evaluations: 5, done: 7, count: 8 } as const;

/** Settings as the native training takes them; those of other optimizers are not read. @internal */
export function nativeOptimizer(settings: OptimizerSettings, members: number) {
  const lbfgs = settings.kind === 'lbfgs' ? settings : complete('', { kind: 'lbfgs' }, members);
  const { historySize, toleranceGrad, toleranceChange, lineSearch } = lbfgs as Required<LBFGS>;
  return {
    optimizer: settings.kind,
    weightDecay: 'weightDecay' in settings ? [...settings.weightDecay] : new Array<number>(members).fill(0),
    nesterov: settings.kind === 'sgd' && settings.nesterov,
    beta2: 'betas' in settings ? settings.betas[1] : settings.kind === 'rmsprop' ? settings.alpha : 0,
    eps: 'eps' in settings ? settings.eps : 0,
    ...{ historySize, toleranceGrad, toleranceChange, lineSearch },
  };
}
