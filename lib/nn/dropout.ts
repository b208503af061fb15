/** Dropout. */
import { checkNumber, checkObject } from '../errors.js';
import { compare, mul } from '../graph/operators.js';
import type { Value } from '../graph/value.js';

/**
 * Sets elements to 0 with probability p and divides the others by 1 - p (torch.nn.functional.dropout). The mask is drawn
 * in every run from the input `key` (see {@link randomKey}), for each member its own.
 *
 * @param p in [0, 1]; 0 gives x itself
 * @param options.stream two dropouts with equal streams and shapes share a mask; default: one of its own
 * @example
 * ```ts
 * import { dropout, Graph, randomKey } from 'ptmz-native';
 * using graph = new Graph();
 * using program = graph.compile({ y: dropout(graph.constant(1, [8]), 0.5) });
 * const { y } = await program.run({ key: randomKey(3) });
 * ```
 */
export function dropout(x: Value, p: number, options: { stream?: number } = {}): Value {
  checkNumber('p of dropout', p, 0, 1);
  checkObject('options of dropout', options, ['stream']);
  if (p === 0) return x;
  const keep = compare('ge', x.graph.random(x.shape, 'uniform', options.stream), p);
  return mul(x, mul(keep, p === 1 ? 0 : 1 / (1 - p)));
}
