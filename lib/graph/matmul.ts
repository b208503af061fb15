/** Matrix products with broadcasting over batch axes. */
import { checkObject, invalidArgument } from '../errors.js';
import { broadcastTo } from './elementwise.js';
import { reshape, squeeze, unsqueeze } from './layout.js';
import { broadcastShapes, shapeMismatch } from './shape.js';
import { Value } from './value.js';

/** What {@link Value.matmul} takes besides the other factor. */
export interface MatmulOptions {
  /** Read the last two axes of the first (second) input exchanged; costs nothing. */
  transposeA?: boolean;
  transposeB?: boolean;
}

export function matmul(a: Value, b: Value, options: MatmulOptions = {}): Value {
  checkObject('options of matmul', options, ['transposeA', 'transposeB']);
  if (!(b instanceof Value)) throw invalidArgument('the second operand of matmul', 'a Value', b);
  if (a.shape.length === 0 || b.shape.length === 0)
    throw shapeMismatch('matmul', 'inputs of rank >= 1', a.shape, b.shape);
  const rowVector = a.shape.length === 1;
  const columnVector = b.shape.length === 1;
  const [ta, tb] = [!rowVector && options.transposeA === true, !columnVector && options.transposeB === true];
  const x = rowVector ? unsqueeze(a, 0) : a;
  const y = columnVector ? unsqueeze(b, 1) : b;
  const inner = [x.shape.at(ta ? -2 : -1), y.shape.at(tb ? -1 : -2)];
  if (inner[0] !== inner[1])
    throw shapeMismatch('matmul', `equal inner sizes (transposeA=${ta}, transposeB=${tb})`, a.shape, b.shape);
  const product = multiply(x, y, ta, tb);
  const rank = product.shape.length;
  return squeeze(product, [...(rowVector ? [rank - 2] : []), ...(columnVector ? [rank - 1] : [])]);
}

// A batch of rows times one matrix is one product of two matrices: (..., m, k) x (k, n) = (... * m, k) x (k, n).
function multiply(x: Value, y: Value, ta: boolean, tb: boolean): Value {
  const attributes = [Number(ta), Number(tb)];
  if (!ta && y.shape.length === 2 && x.shape.length > 2) {
    const rows = reshape(x, [-1, x.shape.at(-1)!]);
    const product = x.graph.node('matmul', [rows, y], attributes);
    return reshape(product, [...x.shape.slice(0, -1), product.shape[1]!]);
  }
  const batch = broadcastShapes('matmul', x.shape.slice(0, -2), y.shape.slice(0, -2));
  const sides = [x, y].map((side) => broadcastTo(side, [...batch, ...side.shape.slice(-2)]));
  return x.graph.node('matmul', sides, attributes);
}
