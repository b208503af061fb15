/** Normalisation: batch and layer norm, in two passes. */
import { checkBoolean, checkNumber, checkObject, PtmzError } from '../errors.js';
import {
  add,
  concat,
  mean,
  mul,
  reciprocal,
  relu as rectify,
  reshape,
  slice,
  sqrt,
  square,
  sub,
} from '../graph/operators.js';
import { elementCount, formatShape, sameShape, shapeMismatch, type Shape } from '../graph/shape.js';
import type { Value } from '../graph/value.js';

/** What {@link batchNorm} takes besides the input. */
export interface BatchNormOptions {
  /** Scale (C); left out: 1. */
  weight?: Value;
  /** Shift (C); left out: 0. */
  bias?: Value;
  /** Running mean (C), a buffer. Needed for evaluation. */
  runningMean?: Value;
  /** Running variance (C), a buffer. Needed for evaluation. */
  runningVar?: Value;
  /** true (default): statistics of the batch, and the buffers get an update. false: the running statistics. */
  training?: boolean;
  /** Weight of the batch in the running statistics, in [0, 1]; default 0.1. */
  momentum?: number;
  /** Added to the variance; default 1e-5. */
  eps?: number;
  /** Shaped as x; added to the result. With it and `relu` the end of a residual block is one pass over memory. */
  residual?: Value;
  /** Whether negative results become 0, after the residual was added; default false. */
  relu?: boolean;
}

const batchNormKeys = [
  ...['weight', 'bias', 'runningMean', 'runningVar', 'training', 'momentum', 'eps', 'residual', 'relu'],
] as const;

/** (x - mean) / sqrt(variance + eps) * weight + bias, everything in shapes that broadcast. */
function affine(centred: Value, variance: Value, eps: number, weight?: Value, bias?: Value): Value {
  const normal = mul(centred, reciprocal(sqrt(add(variance, eps))));
  const scaled = weight ? mul(normal, weight) : normal;
  return bias ? add(scaled, bias) : scaled;
}

/**
 * Batch normalisation per channel (torch.nn.functional.batch_norm). In training the variance of the batch is biased in
 * the result and unbiased in the running variance, as in torch; the new running statistics are what
 * {@link Graph.updatedBuffers} gives out.
 *
 * @param x (N, C) or (N, C, H, W)
 * @returns shaped as x
 * @throws PtmzError `SHAPE_MISMATCH`; `INVALID_ARGUMENT` for evaluation without running statistics, or training with
 * one number per channel
 * @example
 * ```ts
 * import { batchNorm, Graph } from 'ptmz-native';
 * using graph = new Graph();
 * const runningMean = graph.buffer('bn.running_mean', [8]);
 * const runningVar = graph.buffer('bn.running_var', [8], { init: { kind: 'constant', value: 1 } });
 * const y = batchNorm(graph.input('x', [4, 8, 5, 5]), { runningMean, runningVar });
 * using program = graph.compile({ y, buffers: graph.updatedBuffers });
 * ```
 */
export function batchNorm(x: Value, options: BatchNormOptions = {}): Value {
  checkObject('options of batchNorm', options, batchNormKeys);
  const { weight, bias, runningMean, runningVar, residual } = options;
  const relu = checkBoolean('relu of batchNorm', options.relu ?? false);
  const training = checkBoolean('training of batchNorm', options.training ?? true);
  const eps = checkNumber('eps of batchNorm', options.eps ?? 1e-5, 0);
  if (x.shape.length < 2) throw shapeMismatch('batchNorm', 'x (N,C,...)', x.shape);
  const channels = x.shape[1]!;
  for (const [name, value] of Object.entries({ weight, bias, runningMean, runningVar }))
    if (value && !sameShape(value.shape, [channels]))
      throw shapeMismatch('batchNorm', `x (N,C,...) and ${name} (C)`, x.shape, value.shape);
  if (residual && !sameShape(residual.shape, x.shape))
    throw shapeMismatch('batchNorm', 'a residual shaped as x', x.shape, residual.shape);
  const finish = (value: Value) => {
    const sum = residual ? add(value, residual) : value;
    return relu ? rectify(sum) : sum;
  };
  const perChannel = (value: Value) =>
    reshape(
      value,
      x.shape.map((_, i) => (i === 1 ? channels : 1)),
    );
  const [scale, shift] = [weight && perChannel(weight), bias && perChannel(bias)];
  if (!training) {
    if (!runningMean || !runningVar)
      throw new PtmzError('INVALID_ARGUMENT', 'batchNorm: expected runningMean and runningVar for training: false');
    return finish(affine(sub(x, perChannel(runningMean)), perChannel(runningVar), eps, scale, shift));
  }
  const axes = x.shape.map((_, i) => i).filter((i) => i !== 1);
  const count = elementCount(x.shape) / channels;
  if (count === 1)
    throw new PtmzError(
      'INVALID_ARGUMENT',
      `batchNorm: expected more than 1 number per channel when training, got x ${formatShape(x.shape)}`,
    );
  const { graph } = x;
  const row = (value: Value) => reshape(value, [1, channels]);
  const centre = mean(x, axes, true);
  const moments = concat([row(centre), row(mean(square(sub(x, centre)), axes, true))], 0);
  const stats = graph.fused('batch_statistics', [x], [], [], moments);
  const [average, variance] = [slice(stats, 0, 0, 1), slice(stats, 0, 1, 2)].map((value) =>
    reshape(value, [channels]),
  ) as [Value, Value];
  const momentum = checkNumber('momentum of batchNorm', options.momentum ?? 0.1, 0, 1);
  if (runningMean) track(runningMean, average, momentum);
  if (runningVar) track(runningVar, mul(variance, count / (count - 1)), momentum);
  const composite = finish(affine(sub(x, perChannel(average)), perChannel(variance), eps, scale, shift));
  if (!weight || !bias) return composite;
  const kind = residual ? 'batch_norm_add' : 'batch_norm';
  const inputs = [x, stats, weight, bias, ...(residual ? [residual] : [])];
  return graph.fused(kind, inputs, [Number(relu)], [eps], composite);
}

/** running <- (1 - momentum) running + momentum statistic; a layer that is used twice tracks both times. */
function track(running: Value, statistic: Value, momentum: number): void {
  const { graph } = running;
  const current = reshape(statistic, running.shape).stopGradient();
  graph.update(running, add(mul(graph.updated(running), 1 - momentum), mul(current, momentum)));
}

/** What {@link layerNorm} takes besides the input. */
export interface LayerNormOptions {
  /** Scale, of the normalised shape; left out: 1. */
  weight?: Value;
  /** Shift, of the normalised shape; left out: 0. */
  bias?: Value;
  /** The last axes of x, that are normalised together; default: the shape of weight, or else the last axis. */
  normalizedShape?: Shape;
  /** Added to the variance; default 1e-5. */
  eps?: number;
}

/**
 * Layer normalisation over the last axes (torch.nn.functional.layer_norm), with the biased variance.
 *
 * @param x (..., D)
 * @returns shaped as x
 * @throws PtmzError `SHAPE_MISMATCH`
 * @example
 * ```ts
 * import { Graph, layerNorm } from 'ptmz-native';
 * using graph = new Graph();
 * const weight = graph.param('ln.weight', [16], { init: { kind: 'constant', value: 1 } });
 * layerNorm(graph.input('x', [2, 5, 16]), { weight, bias: graph.param('ln.bias', [16]) });
 * ```
 */
export function layerNorm(x: Value, options: LayerNormOptions = {}): Value {
  checkObject('options of layerNorm', options, ['weight', 'bias', 'normalizedShape', 'eps']);
  const { weight, bias } = options;
  const normalized = options.normalizedShape ?? weight?.shape ?? x.shape.slice(-1);
  const eps = checkNumber('eps of layerNorm', options.eps ?? 1e-5, 0);
  const first = x.shape.length - normalized.length;
  if (first < 0 || normalized.length === 0 || !sameShape(x.shape.slice(first), normalized))
    throw shapeMismatch('layerNorm', 'x (..., normalizedShape)', x.shape, normalized);
  for (const value of [weight, bias])
    if (value && !sameShape(value.shape, normalized))
      throw shapeMismatch('layerNorm', 'weight and bias of the normalised shape', normalized, value.shape);
  // Several axes are one longer row.
  const flat = [...x.shape.slice(0, first), elementCount(normalized)];
  const thin = flat.map((size, i) => (i < first ? 1 : size));
  const [rows, scale, shift] = [reshape(x, flat), weight && reshape(weight, thin), bias && reshape(bias, thin)];
  const centred = sub(rows, mean(rows, -1, true));
  const composite = affine(centred, mean(square(centred), -1, true), eps, scale, shift);
  if (!scale) return reshape(composite, x.shape);
  const inputs = [rows, scale, shift ?? x.graph.constant(0, thin)];
  return reshape(x.graph.fused('layer_norm', inputs, [], [eps], composite), x.shape);
}
