/** Precision: what matrix products and convolutions round their factors to on a GPU. */
import { checkOneOf, PtmzError } from './errors.js';

/**
 * How exactly a program in float32 multiplies on a GPU. `float32`: as it stands. `tf32` keeps 10 bits behind the point
 * of every factor and `bf16` keeps 7; products are added up in float32 in any case, and what is stored stays float32.
 * They hold for the products that cuBLAS computes; all others are computed in float32.
 */
export type Precision = 'float32' | 'tf32' | 'bf16';

/** All of them. @internal */
export const precisions: readonly Precision[] = ['float32', 'tf32', 'bf16'];

/**
 * A precision that the program can have: less than float32 is for float32 on CUDA devices.
 *
 * @throws PtmzError `INVALID_ARGUMENT`, `UNSUPPORTED`
 * @internal
 */
export function checkPrecision(given: unknown, program: { dtype: 'float32' | 'float64'; device: string }): Precision {
  const precision = checkOneOf('precision', (given ?? 'float32') as Precision, precisions);
  if (precision === 'float32') return precision;
  if (program.dtype !== 'float32')
    throw new PtmzError('UNSUPPORTED', `Expected dtype 'float32' for precision '${precision}' but received 'float64'`);
  if (program.device === 'cpu')
    throw new PtmzError(
      'UNSUPPORTED',
      `Expected a CUDA device for precision '${precision}' but received 'cpu', which has 'float32' only`,
      { hint: "Choose another device, such as device: 'cuda' (--device cuda), or precision 'float32'." },
    );
  return precision;
}
