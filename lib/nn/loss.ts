/** Losses: cross-entropy and mean squared error. */
import { checkInteger, checkNumber, checkObject, checkOneOf, invalidArgument } from '../errors.js';
import * as ops from '../graph/operators.js';
import { sameShape, shapeMismatch } from '../graph/shape.js';
import { Value } from '../graph/value.js';
import { logSoftmax } from './activation.js';

const reductions = ['mean', 'sum', 'none'] as const;
/** How a loss per sample becomes one number; `none` keeps them apart. */
export type Reduction = (typeof reductions)[number];

/** What {@link crossEntropy} takes besides logits and targets. */
export interface CrossEntropyOptions {
  /** Default `mean`: over the targets that are not ignored. */
  reduction?: Reduction;
  /** A target that counts as nothing. Default: none; a target outside [0, C) is then an error in the run. */
  ignoreIndex?: number;
  /** How much of the target is spread over all classes, in [0, 1]; default 0. */
  labelSmoothing?: number;
}

/**
 * Cross-entropy of softmax(logits) (torch.nn.functional.cross_entropy with class indices).
 *
 * @param logits (N, C); reshape other shapes first
 * @param target (N), of kind index, in [0, C)
 * @returns a scalar, or (N) with reduction `none`
 * @throws PtmzError `SHAPE_MISMATCH`, `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { crossEntropy, Graph } from 'ptmz-native';
 * using graph = new Graph();
 * const loss = crossEntropy(graph.input('logits', [8, 10]), graph.input('y', [8], 'index'), { labelSmoothing: 0.1 });
 * ```
 */
export function crossEntropy(logits: Value, target: Value, options: CrossEntropyOptions = {}): Value {
  checkObject('options of crossEntropy', options, ['reduction', 'ignoreIndex', 'labelSmoothing']);
  const reduction = checkOneOf('reduction of crossEntropy', options.reduction ?? 'mean', reductions);
  const smoothing = checkNumber('labelSmoothing of crossEntropy', options.labelSmoothing ?? 0, 0, 1);
  const ignore = options.ignoreIndex;
  if (ignore !== undefined) checkInteger('ignoreIndex of crossEntropy', ignore, -(2 ** 31), 2 ** 31 - 1);
  if (!(target instanceof Value) || target.kind !== 'index')
    throw invalidArgument('target of crossEntropy', "a Value of kind 'index'", target);
  if (logits.shape.length !== 2 || !sameShape(target.shape, logits.shape.slice(0, 1)))
    throw shapeMismatch('crossEntropy', 'logits (N,C) and target (N)', logits.shape, target.shape);

  const attributes = [ignore === undefined ? 0 : 1, ignore ?? 0];
  const composite = rowLosses(logits, target, ignore, smoothing);
  const rows = logits.graph.fused('softmax_cross_entropy', [logits, target], attributes, [smoothing], composite);
  if (reduction === 'none') return rows;
  if (reduction === 'sum') return ops.sum(rows);
  if (ignore === undefined) return ops.mean(rows);
  return ops.div(ops.sum(rows), ops.sum(ops.compare('ne', ops.cast(target), ignore)));
}

// With p = log softmax: -(1 - s) p_target - s mean p.
function rowLosses(logits: Value, target: Value, ignore: number | undefined, smoothing: number): Value {
  const rows = logits.shape[0]!;
  const logProbability = logSoftmax(logits, 1);
  const index = ops.reshape(target, [rows, 1]);
  const options = ignore === undefined ? {} : { ignoreIndex: ignore };
  const picked = ops.reshape(ops.gather(logProbability, 1, index, options), [rows]);
  const chosen = smoothing === 0 ? picked : ops.mul(picked, 1 - smoothing);
  const spread = smoothing === 0 ? chosen : ops.add(chosen, ops.mul(ops.mean(logProbability, 1), smoothing));
  const losses = ops.neg(spread);
  return ignore === undefined ? losses : ops.where(ops.compare('ne', ops.cast(target), ignore), losses, 0);
}

/**
 * The mean of (x - target)^2 (torch.nn.functional.mse_loss).
 *
 * @param x any shape
 * @param target shaped as x
 * @throws PtmzError `SHAPE_MISMATCH`: nothing broadcasts here, where that is nearly always a mistake
 * @example
 * ```ts
 * import { Graph, mseLoss } from 'ptmz-native';
 * using graph = new Graph();
 * const loss = mseLoss(graph.input('x', [5, 3]), graph.input('t', [5, 3]));
 * ```
 */
export function mseLoss(x: Value, target: Value, options: { reduction?: Reduction } = {}): Value {
  checkObject('options of mseLoss', options, ['reduction']);
  const reduction = checkOneOf('reduction of mseLoss', options.reduction ?? 'mean', reductions);
  if (!sameShape(x.shape, target.shape)) throw shapeMismatch('mseLoss', 'equal shapes', x.shape, target.shape);
  const squares = ops.square(ops.sub(x, target));
  if (reduction === 'none') return squares;
  return reduction === 'sum' ? ops.sum(squares) : ops.mean(squares);
}
