/** Linear layers and the lookup of embeddings. */
import { invalidArgument } from '../errors.js';
import { add, broadcastTo, gather, matmul, reshape } from '../graph/operators.js';
import { elementCount, formatShape, sameShape, shapeMismatch } from '../graph/shape.js';
import { Value } from '../graph/value.js';

/**
 * x w^T + b over the last axis (torch.nn.functional.linear).
 *
 * @param x (..., in)
 * @param weight (out, in)
 * @param bias (out), or left out
 * @returns (..., out)
 * @throws PtmzError `SHAPE_MISMATCH`
 * @example
 * ```ts
 * import { Graph, linear } from 'ptmz-native';
 * using graph = new Graph();
 * const x = graph.input('x', [16, 3]);
 * linear(x, graph.param('w', [5, 3]), graph.param('b', [5])).shape; // [16, 5]
 * ```
 */
export function linear(x: Value, weight: Value, bias?: Value): Value {
  if (weight.shape.length !== 2 || x.shape.at(-1) !== weight.shape[1])
    throw shapeMismatch('linear', 'x (..., in) and weight (out, in)', x.shape, weight.shape);
  if (bias && !sameShape(bias.shape, weight.shape.slice(0, 1)))
    throw shapeMismatch('linear', 'weight (out, in) and bias (out)', weight.shape, bias.shape);
  const y = matmul(x, weight, { transposeB: true });
  return bias ? add(y, bias) : y;
}

/**
 * Rows of a table (torch.nn.functional.embedding).
 *
 * @param index any shape, of kind index, numbers in [0, rows); others are an INDEX_OUT_OF_RANGE error in the run
 * @param weight (rows, size)
 * @returns (...index.shape, size)
 * @example
 * ```ts
 * import { embedding, Graph } from 'ptmz-native';
 * using graph = new Graph();
 * const tokens = graph.input('tokens', [2, 8], 'index');
 * embedding(tokens, graph.param('wte', [50, 16])).shape; // [2, 8, 16]
 * ```
 */
export function embedding(index: Value, weight: Value): Value {
  if (!(index instanceof Value) || index.kind !== 'index')
    throw invalidArgument('index of embedding', "a Value of kind 'index'", index);
  if (weight.shape.length !== 2)
    throw shapeMismatch('embedding', `a table (rows, size) for an index ${formatShape(index.shape)}`, weight.shape);
  const size = weight.shape[1]!;
  const count = elementCount(index.shape);
  const rows = broadcastTo(reshape(index, [count, 1]), [count, size]);
  return reshape(gather(weight, 0, rows), [...index.shape, size]);
}
