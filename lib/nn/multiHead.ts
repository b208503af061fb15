/** Multi-head attention over projections that are held as one: queries, keys and values of all heads. */
import { checkInteger } from '../errors.js';
import { permute, reshape, slice } from '../graph/operators.js';
import { shapeMismatch } from '../graph/shape.js';
import type { Value } from '../graph/value.js';
import { attention, type AttentionOptions } from './attention.js';

// Rows of so many numbers fit a GPU's shared memory six times over, also in float64.
const longestHead = 512;

/**
 * Splits queries, keys and values into heads, attends, and puts the heads together again: what is between the two
 * projections of torch.nn.MultiheadAttention and of GPT-2. Heads may have any size, also an odd one.
 *
 * @param qkv (B,T,3D): queries, keys and values side by side, each head by head
 * @param heads a divisor of D
 * @returns (B,T,D)
 * @throws PtmzError `SHAPE_MISMATCH`, `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { Graph, multiHeadAttention } from 'ptmz-native';
 * using graph = new Graph();
 * multiHeadAttention(graph.input('qkv', [2, 5, 3 * 46]), 2).shape; // [2, 5, 46]: two heads of 23
 * ```
 */
export function multiHeadAttention(qkv: Value, heads: number, options: AttentionOptions = {}): Value {
  checkInteger('heads of multiHeadAttention', heads, 1);
  const [batch, time, width] = qkv.shape as [number, number, number];
  const dim = width / 3;
  if (qkv.shape.length !== 3 || !Number.isInteger(dim / heads))
    throw shapeMismatch('multiHeadAttention', `qkv (B,T,3D) with D a multiple of ${heads} heads`, qkv.shape);
  const size = dim / heads;
  const packed = reshape(qkv, [batch, time, 3, heads, size]);
  const part = (i: number) => permute(reshape(slice(packed, 2, i, i + 1), [batch, time, heads, size]), [0, 2, 1, 3]);
  const composite = permute(attention(part(0), part(1), part(2), options), [0, 2, 1, 3]);
  if (size > longestHead) return reshape(composite, [batch, time, dim]);
  const { causal = false, scale = 1 / Math.sqrt(size) } = options;
  const mixed = qkv.graph.fused('attention', [packed], [Number(causal)], [scale], composite);
  return reshape(mixed, [batch, time, dim]);
}
