/** Conversion between types of floats, with the rounding of IEEE 754: to nearest, ties to even. */
import { invalidArgument } from '../errors.js';
import { tensorArrays, type StoredTensor, type TensorDType } from './storedTensor.js';

/** A type of floats; see {@link castFloats}. */
export type FloatType = 'F64' | 'F32' | 'F16' | 'BF16';
/** All of them. @internal */
export const floatTypes = ['F64', 'F32', 'F16', 'BF16'] as const satisfies readonly FloatType[];

interface Half {
  exponentBits: number;
  mantissaBits: number;
}
const halves: Record<'F16' | 'BF16', Half> = {
  F16: { exponentBits: 5, mantissaBits: 10 },
  BF16: { exponentBits: 8, mantissaBits: 7 },
};

/** The number that 16 bits stand for. */
function decode(bits: number, { exponentBits, mantissaBits }: Half): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> mantissaBits;
  const fraction = (bits & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction ? NaN : sign * Infinity;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

/** The 16 bits nearest to a number. All steps are exact in doubles, but for the one rounding. */
function encode(value: number, { exponentBits, mantissaBits }: Half): number {
  const infinity = (2 ** exponentBits - 1) * 2 ** mantissaBits;
  if (Number.isNaN(value)) return infinity + 2 ** (mantissaBits - 1);
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  const bias = 2 ** (exponentBits - 1) - 1;
  // The exponent of the unit in the last place; those below the smallest normal number share one.
  const exponent = Math.max(1 - bias, Math.min(exponentOf(size), bias));
  const units = roundToEven((size / 2 ** exponent) * 2 ** mantissaBits);
  // A mantissa that rounds up to the next power of two carries into the exponent, and at last into infinity.
  const bits = units + (exponent + bias - 1) * 2 ** mantissaBits;
  return sign + Math.min(infinity, bits);
}

const scratch = new DataView(new ArrayBuffer(8));
function exponentOf(size: number): number {
  scratch.setFloat64(0, size);
  return (scratch.getUint16(0) >> 4) - 1023;
}

function roundToEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

/** Whether a tensor holds floats. @internal */
export const isFloat = (dtype: TensorDType): dtype is FloatType => (floatTypes as readonly string[]).includes(dtype);

/**
 * A tensor of floats in another type; one of integers or booleans as it is.
 *
 * @example
 * ```ts
 * import { castFloats } from 'ptmz-native';
 * castFloats({ dtype: 'F32', shape: [1], data: Float32Array.of(1.5) }, 'BF16').data; // Uint16Array [0x3fc0]
 * ```
 */
export function castFloats(tensor: StoredTensor, dtype: FloatType): StoredTensor {
  if (!(floatTypes as readonly string[]).includes(dtype))
    throw invalidArgument('dtype', `one of ${floatTypes.join(', ')}`, dtype);
  if (tensor.dtype === dtype || !isFloat(tensor.dtype)) return tensor;
  const from = tensor.dtype in halves ? halves[tensor.dtype as keyof typeof halves] : undefined;
  const to = dtype in halves ? halves[dtype as keyof typeof halves] : undefined;
  const source = tensor.data as Float32Array | Float64Array | Uint16Array;
  const data = new tensorArrays[dtype](source.length);
  for (let i = 0; i < source.length; i++) {
    const value = from ? decode(source[i]!, from) : source[i]!;
    data[i] = to ? encode(value, to) : value;
  }
  return { dtype, shape: tensor.shape, data };
}
