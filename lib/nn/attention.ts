/** Scaled dot-product attention (Vaswani et al. 2017, equation 1). */
import { checkBoolean, checkNumber, checkObject } from '../errors.js';
import { compare, matmul, mul, where } from '../graph/operators.js';
import { shapeMismatch } from '../graph/shape.js';
import type { Value } from '../graph/value.js';
import { softmax } from './activation.js';

/** What {@link attention} takes besides queries, keys and values. */
export interface AttentionOptions {
  /** Position i sees positions 0..i only; default false. */
  causal?: boolean;
  /** Default 1 / sqrt(D). */
  scale?: number;
}

/**
 * softmax(q k^T / sqrt(D)) v (torch.nn.functional.scaled_dot_product_attention).
 *
 * @param q (..., T, D)
 * @param k (..., S, D)
 * @param v (..., S, E)
 * @returns (..., T, E)
 * @throws PtmzError `SHAPE_MISMATCH`
 * @example
 * ```ts
 * import { attention, Graph } from 'ptmz-native';
 * using graph = new Graph();
 * const q = graph.input('q', [2, 4, 8, 16]); // batch, heads, time, size
 * attention(q, graph.input('k', [2, 4, 8, 16]), graph.input('v', [2, 4, 8, 16]), { causal: true });
 * ```
 */
export function attention(q: Value, k: Value, v: Value, options: AttentionOptions = {}): Value {
  checkObject('options of attention', options, ['causal', 'scale']);
  const causal = checkBoolean('causal of attention', options.causal ?? false);
  const fits = q.shape.length >= 2 && q.shape.at(-1) === k.shape.at(-1) && k.shape.at(-2) === v.shape.at(-2);
  if (!fits)
    throw shapeMismatch('attention', 'q (..., T, D), k (..., S, D) and v (..., S, E)', q.shape, k.shape, v.shape);
  const scale = checkNumber('scale of attention', options.scale ?? 1 / Math.sqrt(q.shape.at(-1)!));
  const scores = mul(matmul(q, k, { transposeB: true }), scale);
  const [rows, columns] = scores.shape.slice(-2) as [number, number];
  if (!causal) return matmul(softmax(scores), v);
  const { graph } = q;
  const seen = compare('le', graph.iota([rows, columns], 1), graph.iota([rows, columns], 0));
  // Every row sees position 0, so the largest score is finite and exp(-Infinity) is a plain 0, also in derivatives.
  return matmul(softmax(where(seen, scores, -Infinity)), v);
}
