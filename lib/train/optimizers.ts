/** Optimizers: SGD and AdamW with torch's settings and defaults, checked before training starts. */
import {
  checkArray,
  checkBoolean,
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

/** torch.optim.AdamW: decoupled weight decay and bias correction. */
export interface AdamW {
  kind: 'adamw';
  /** Of the averages of gradient and squared gradient; a OneCycle schedule cycles the first. Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  eps?: number;
  /** Each step shrinks the parameters by lr x weightDecay; one number, or one per member; default 0.01. */
  weightDecay?: number | readonly number[];
}

/** An optimizer with its settings. Weight decay leaves out parameters with `decay: false`. */
export type Optimizer = SGD | AdamW;
/** An optimizer with its default settings. */
export type OptimizerName = Optimizer['kind'];

/** All settings, weight decay per member. @internal */
export type OptimizerSettings =
  | { kind: 'sgd'; momentum: number; nesterov: boolean; weightDecay: readonly number[] }
  | { kind: 'adamw'; betas: readonly [number, number]; eps: number; weightDecay: readonly number[] };

/** The short forms of SGD's settings beside `optimizer`. @internal */
export interface OptimizerOptions {
  optimizer?: OptimizerName | Optimizer;
  weightDecay?: number | readonly number[];
  momentum?: number;
  nesterov?: boolean;
}

const kinds = ['sgd', 'adamw'] as const;

/** One number per member. @internal */
export function perMember(name: string, value: number | readonly number[], members: number): number[] {
  if (!Array.isArray(value)) return new Array<number>(members).fill(checkNumber(name, value, 0, Number.MAX_VALUE));
  checkArray(name, value, members);
  return value.map((number, m) => checkNumber(`${name}[${m}]`, number, 0, Number.MAX_VALUE));
}

function checkSGD(prefix: string, { momentum = 0.9, nesterov = false, weightDecay = 0 }: SGD, members: number) {
  return {
    kind: 'sgd',
    momentum: checkNumber(`${prefix}momentum`, momentum, 0, 1),
    nesterov: checkBoolean(`${prefix}nesterov`, nesterov),
    weightDecay: perMember(`${prefix}weightDecay`, weightDecay, members),
  } as const;
}

function checkAdamW(prefix: string, { betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 }: AdamW, members: number) {
  checkArray(`${prefix}betas`, betas, 2);
  for (const i of [0, 1] as const) {
    checkNumber(`${prefix}betas[${i}]`, betas[i], 0, 1);
    if (betas[i] === 1) throw invalidArgument(`${prefix}betas[${i}]`, 'a number below 1', betas[i]);
  }
  return {
    kind: 'adamw',
    betas: [betas[0], betas[1]],
    eps: checkNumber(`${prefix}eps`, eps, 0, Number.MAX_VALUE),
    weightDecay: perMember(`${prefix}weightDecay`, weightDecay, members),
  } as const;
}

/**
 * The settings of the optimizer: an object states them itself; beside a name `weightDecay` may stand, and beside SGD
 * `momentum` and `nesterov` too.
 *
 * @throws PtmzError `INVALID_ARGUMENT`
 * @internal
 */
export function checkOptimizer(options: OptimizerOptions, members: number): OptimizerSettings {
  const { optimizer = 'sgd', ...short } = options;
  const given = Object.entries(short).filter(([, value]) => value !== undefined);
  if (typeof optimizer === 'string') {
    const kind = checkOneOf('optimizer', optimizer, kinds);
    const wrong = kind === 'sgd' ? undefined : given.find(([key]) => key !== 'weightDecay');
    if (wrong) throw new PtmzError('INVALID_ARGUMENT', `${wrong[0]} is no setting of the optimizer '${kind}'`);
    const settings = Object.fromEntries(given);
    return kind === 'sgd'
      ? checkSGD('', { kind, ...settings }, members)
      : checkAdamW('', { kind, ...settings }, members);
  }
  checkObject('optimizer', optimizer);
  if (given.length > 0)
    throw new PtmzError('INVALID_ARGUMENT', `${given[0]![0]} belongs into optimizer, which is an object here`);
  if (checkOneOf('optimizer.kind', optimizer.kind, kinds) === 'sgd') {
    checkObject('optimizer', optimizer, ['kind', 'momentum', 'nesterov', 'weightDecay']);
    return checkSGD('optimizer.', optimizer as SGD, members);
  }
  checkObject('optimizer', optimizer, ['kind', 'betas', 'eps', 'weightDecay']);
  return checkAdamW('optimizer.', optimizer as AdamW, members);
}

/** What a schedule that cycles momentum moves: SGD's momentum, AdamW's first beta. @internal */
export const cycledMomentum = (settings: OptimizerSettings): number =>
  settings.kind === 'sgd' ? settings.momentum : settings.betas[0];

/** Settings as the native training takes them; those of the other optimizer are not read. @internal */
export const nativeOptimizer = (settings: OptimizerSettings): { nesterov: boolean; beta2: number; eps: number } =>
  settings.kind === 'sgd'
    ? { nesterov: settings.nesterov, beta2: 0, eps: 0 }
    : { nesterov: false, beta2: settings.betas[1], eps: settings.eps };
