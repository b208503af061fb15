/** Activation functions and softmax. All stay finite to second order at 0 and +-1e4 in float32. */
import { checkNumber, checkOneOf } from '../errors.js';
import * as ops from '../graph/operators.js';
import { checkAxis } from '../graph/shape.js';
import type { Value } from '../graph/value.js';

/**
 * max(x, 0), with derivative 0 at 0 (torch.nn.functional.relu).
 * @example
 * ```ts
 * import { Graph, relu } from 'ptmz-native';
 * using graph = new Graph();
 * relu(graph.input('x', [3]));
 * ```
 */
export const relu = (x: Value): Value => ops.relu(x);

/**
 * x where x > 0, else slope * x; at 0 the derivative is the slope (torch.nn.functional.leaky_relu).
 * @param slope default 0.01
 * @example
 * ```ts
 * import { Graph, leakyRelu } from 'ptmz-native';
 * using graph = new Graph();
 * leakyRelu(graph.input('x', [3]), 0.2);
 * ```
 */
export function leakyRelu(x: Value, slope = 0.01): Value {
  checkNumber('slope of leakyRelu', slope);
  return ops.where(ops.compare('gt', x, 0), x, ops.mul(x, slope));
}

/**
 * log(1 + exp(x)) (torch.nn.functional.softplus).
 * @example
 * ```ts
 * import { Graph, softplus } from 'ptmz-native';
 * using graph = new Graph();
 * softplus(graph.input('x', [3]));
 * ```
 */
export const softplus = (x: Value): Value => ops.softplus(x);

/**
 * x * sigmoid(x), also called swish (torch.nn.functional.silu).
 * @example
 * ```ts
 * import { Graph, silu } from 'ptmz-native';
 * using graph = new Graph();
 * silu(graph.input('x', [3]));
 * ```
 */
export const silu = (x: Value): Value => ops.mul(x, ops.sigmoid(x));

/**
 * x times the normal distribution function at x (torch.nn.functional.gelu).
 * @param approximate `none` (default): with erf; `tanh`: the approximation of GPT-2
 * @example
 * ```ts
 * import { gelu, Graph } from 'ptmz-native';
 * using graph = new Graph();
 * gelu(graph.input('x', [3]), 'tanh');
 * ```
 */
export function gelu(x: Value, approximate: 'none' | 'tanh' = 'none'): Value {
  checkOneOf('approximate of gelu', approximate, ['none', 'tanh']);
  const half = ops.mul(x, 0.5);
  if (approximate === 'none') return ops.mul(half, ops.add(ops.erf(ops.mul(x, Math.SQRT1_2)), 1));
  const cube = ops.mul(ops.mul(x, x), x);
  const inner = ops.mul(ops.add(x, ops.mul(cube, 0.044715)), Math.sqrt(2 / Math.PI));
  return ops.mul(half, ops.add(ops.tanh(inner), 1));
}

/**
 * exp(x) / sum(exp(x)) along an axis, without overflow (torch.softmax).
 * @param axis default the last
 * @example
 * ```ts
 * import { Graph, softmax } from 'ptmz-native';
 * using graph = new Graph();
 * softmax(graph.input('x', [4, 10]));
 * ```
 */
export function softmax(x: Value, axis = -1): Value {
  const at = checkAxis('softmax', axis, x.shape.length);
  const powers = ops.exp(ops.sub(x, ops.shiftFor(x, at)));
  return x.graph.fused('softmax', [x], [at], [], ops.mul(powers, ops.reciprocal(ops.sum(powers, at, true))));
}

/**
 * log(softmax(x)) along an axis (torch.log_softmax).
 * @param axis default the last
 * @example
 * ```ts
 * import { Graph, logSoftmax } from 'ptmz-native';
 * using graph = new Graph();
 * logSoftmax(graph.input('x', [4, 10]));
 * ```
 */
export function logSoftmax(x: Value, axis = -1): Value {
  const at = checkAxis('logSoftmax', axis, x.shape.length);
  const shifted = ops.sub(x, ops.shiftFor(x, at));
  const composite = ops.sub(shifted, ops.log(ops.sum(ops.exp(shifted), at, true)));
  return x.graph.fused('log_softmax', [x], [at], [], composite);
}
