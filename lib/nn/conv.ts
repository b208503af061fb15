/** Two-dimensional convolution. */
import { checkArray, checkInteger, checkObject } from '../errors.js';
import { add, reshape } from '../graph/operators.js';
import { shapeMismatch } from '../graph/shape.js';
import type { Value } from '../graph/value.js';

/** One number for both axes, or [height, width]. */
export type Size2 = number | readonly [number, number];

/** @internal */
export function size2(name: string, value: Size2, min: number): [number, number] {
  const pair = typeof value === 'number' ? [value, value] : value;
  checkArray(name, pair, 2);
  return [checkInteger(name, pair[0], min), checkInteger(name, pair[1], min)];
}

/** What {@link conv2d} takes besides input and weight. */
export interface Conv2dOptions {
  /** >= 1; default 1. */
  stride?: Size2;
  /** Zeros on each side, >= 0; default 0. */
  padding?: Size2;
  /** >= 1; default 1. */
  dilation?: Size2;
  /** Divides both numbers of channels; default 1. */
  groups?: number;
  /** (O). */
  bias?: Value;
}

/**
 * Convolution, without flipping the kernel (torch.nn.functional.conv2d).
 *
 * @param x (N, C, H, W)
 * @param weight (O, C / groups, KH, KW)
 * @returns (N, O, OH, OW), OH = floor((H + 2 padding - dilation (KH - 1) - 1) / stride) + 1
 * @throws PtmzError `SHAPE_MISMATCH`, `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { conv2d, Graph } from 'ptmz-native';
 * using graph = new Graph();
 * const x = graph.input('x', [8, 3, 32, 32]);
 * conv2d(x, graph.param('w', [16, 3, 3, 3]), { stride: 2, padding: 1 }).shape; // [8, 16, 16, 16]
 * ```
 */
export function conv2d(x: Value, weight: Value, options: Conv2dOptions = {}): Value {
  checkObject('options of conv2d', options, ['stride', 'padding', 'dilation', 'groups', 'bias']);
  const { stride = 1, padding = 0, dilation = 1, groups = 1, bias } = options;
  checkInteger('groups of conv2d', groups, 1);
  if (x.shape.length !== 4 || weight.shape.length !== 4)
    throw shapeMismatch('conv2d', 'x (N,C,H,W) and weight (O,C/groups,KH,KW)', x.shape, weight.shape);
  const attributes = [
    ...size2('stride of conv2d', stride, 1),
    ...size2('padding of conv2d', padding, 0),
    ...size2('dilation of conv2d', dilation, 1),
    groups,
    x.shape[2]!,
    x.shape[3]!,
    weight.shape[2]!,
    weight.shape[3]!,
  ];
  const y = x.graph.node('conv2d', [x, weight], attributes);
  if (!bias) return y;
  if (bias.shape.length !== 1 || bias.shape[0] !== weight.shape[0])
    throw shapeMismatch('conv2d', 'weight (O,...) and bias (O)', weight.shape, bias.shape);
  return add(y, reshape(bias, [1, -1, 1, 1]));
}
