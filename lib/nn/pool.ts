/** Pooling over the last two axes of images. */
import { checkBoolean, checkObject, invalidArgument } from '../errors.js';
import { add, gather, mean, mul, padAxes, reciprocal, reshape, slice } from '../graph/operators.js';
import { shapeMismatch } from '../graph/shape.js';
import type { Value } from '../graph/value.js';
import { size2, type Size2 } from './conv.js';

/** What {@link maxPool2d} takes besides the input. */
export interface PoolOptions {
  /** >= 1; default: the kernel size. */
  stride?: Size2;
  /** In [0, kernel / 2]; default 0. */
  padding?: Size2;
}

/** What {@link avgPool2d} takes besides the input. */
export interface AvgPoolOptions extends PoolOptions {
  /** Whether the zeros of the padding count in the mean; default true. */
  countIncludePad?: boolean;
}

type Pair = [number, number];

function window(op: string, x: Value, kernel: Size2, { stride, padding }: PoolOptions): { k: Pair; s: Pair; p: Pair } {
  const k = size2(`kernel of ${op}`, kernel, 1);
  const s = size2(`stride of ${op}`, stride ?? kernel, 1);
  const p = size2(`padding of ${op}`, padding ?? 0, 0);
  if (x.shape.length !== 4) throw shapeMismatch(op, 'x (N,C,H,W)', x.shape);
  if (2 * p[0] > k[0] || 2 * p[1] > k[1]) throw invalidArgument(`padding of ${op}`, 'at most half the kernel', p);
  if (x.shape[2]! + 2 * p[0] < k[0] || x.shape[3]! + 2 * p[1] < k[1])
    throw shapeMismatch(op, 'a kernel no larger than the padded image', x.shape, k);
  return { k, s, p };
}

/**
 * The largest element of each window; the first of equals gets the gradient, padding never wins
 * (torch.nn.functional.max_pool2d).
 *
 * @param x (N, C, H, W)
 * @param kernel window size, >= 1
 * @returns (N, C, OH, OW), OH = floor((H + 2 padding - kernel) / stride) + 1
 * @throws PtmzError `SHAPE_MISMATCH`, `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { Graph, maxPool2d } from 'ptmz-native';
 * using graph = new Graph();
 * maxPool2d(graph.input('x', [1, 8, 16, 16]), 3, { stride: 2, padding: 1 }).shape; // [1, 8, 8, 8]
 * ```
 */
export function maxPool2d(x: Value, kernel: Size2, options: PoolOptions = {}): Value {
  checkObject('options of maxPool2d', options, ['stride', 'padding']);
  const { k, s, p } = window('maxPool2d', x, kernel, options);
  const index = x.graph.node('pool_argmax', [x], [...k, ...s, ...p]);
  const [n, c] = x.shape as [number, number];
  const planes = reshape(x, [n, c, -1]);
  return reshape(gather(planes, 2, reshape(index, [n, c, -1])), index.shape);
}

/** Sums of windows along one axis: `kernel` strided slices added. */
function windowSum(x: Value, axis: number, kernel: number, stride: number): Value {
  const last = Math.floor((x.shape[axis]! - kernel) / stride) * stride;
  const slices = Array.from({ length: kernel }, (_, i) => slice(x, axis, i, i + last + 1, stride));
  return slices.reduce((total, part) => add(total, part));
}

/**
 * The mean of each window (torch.nn.functional.avg_pool2d, ceil_mode false).
 *
 * @param x (N, C, H, W)
 * @param kernel window size, >= 1
 * @returns (N, C, OH, OW), OH = floor((H + 2 padding - kernel) / stride) + 1
 * @throws PtmzError `SHAPE_MISMATCH`, `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { avgPool2d, Graph } from 'ptmz-native';
 * using graph = new Graph();
 * avgPool2d(graph.input('x', [1, 8, 16, 16]), 2).shape; // [1, 8, 8, 8]
 * ```
 */
export function avgPool2d(x: Value, kernel: Size2, options: AvgPoolOptions = {}): Value {
  checkObject('options of avgPool2d', options, ['stride', 'padding', 'countIncludePad']);
  const { k, s, p } = window('avgPool2d', x, kernel, options);
  const includePad = checkBoolean('countIncludePad of avgPool2d', options.countIncludePad ?? true);
  const sums = (image: Value) => {
    const padded = padAxes(image, [0, 0, ...p], [0, 0, ...p]);
    return windowSum(windowSum(padded, 2, k[0], s[0]), 3, k[1], s[1]);
  };
  if (includePad || (p[0] === 0 && p[1] === 0)) return mul(sums(x), 1 / (k[0] * k[1]));
  const counts = sums(x.graph.constant(1, [1, 1, x.shape[2]!, x.shape[3]!]));
  return mul(sums(x), reciprocal(counts));
}

/**
 * The mean of each image (torch.nn.functional.adaptive_avg_pool2d with size 1).
 *
 * @param x (N, C, H, W)
 * @returns (N, C, 1, 1)
 * @throws PtmzError `SHAPE_MISMATCH`
 * @example
 * ```ts
 * import { globalAvgPool2d, Graph } from 'ptmz-native';
 * using graph = new Graph();
 * globalAvgPool2d(graph.input('x', [4, 8, 7, 7])).reshape([4, 8]);
 * ```
 */
export function globalAvgPool2d(x: Value): Value {
  if (x.shape.length !== 4) throw shapeMismatch('globalAvgPool2d', 'x (N,C,H,W)', x.shape);
  return mean(x, [2, 3], true);
}
