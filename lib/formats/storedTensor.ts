/** StoredTensor: a tensor as files hold it, and the types of its numbers under the names that each format gives them. */
import { PtmzError } from '../errors.js';

/** By dtype: the array that holds the numbers. */
export const tensorArrays = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U64: BigUint64Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

/** F16 and BF16 are held as their bits, BOOL as bytes 0 and 1. */
export type TensorDType = keyof typeof tensorArrays;
/** The typed arrays that hold the tensors of a file. */
export type TensorArray = InstanceType<(typeof tensorArrays)[TensorDType]>;

/** A tensor of a file; its numbers lie in row-major order. */
export interface StoredTensor {
  readonly dtype: TensorDType;
  readonly shape: readonly number[];
  readonly data: TensorArray;
}

/** PyTorch's names, which are also those of this package; NumPy's where it has the type. */
const names: Record<TensorDType, { torch: string; numpy?: string }> = {
  F64: { torch: 'float64', numpy: 'f8' },
  F32: { torch: 'float32', numpy: 'f4' },
  F16: { torch: 'float16', numpy: 'f2' },
  BF16: { torch: 'bfloat16' },
  I64: { torch: 'int64', numpy: 'i8' },
  I32: { torch: 'int32', numpy: 'i4' },
  I16: { torch: 'int16', numpy: 'i2' },
  I8: { torch: 'int8', numpy: 'i1' },
  U64: { torch: 'uint64', numpy: 'u8' },
  U32: { torch: 'uint32', numpy: 'u4' },
  U16: { torch: 'uint16', numpy: 'u2' },
  U8: { torch: 'uint8', numpy: 'u1' },
  BOOL: { torch: 'bool', numpy: 'b1' },
};

/** All types. @internal */
export const tensorTypes = Object.keys(names) as readonly TensorDType[];
/** `float32` and the like. @internal */
export const torchName = (dtype: TensorDType): string => names[dtype].torch;
/** `f4` and the like; undefined where NumPy has no such type. @internal */
export const numpyName = (dtype: TensorDType): string | undefined => names[dtype].numpy;
/** By PyTorch's name. @internal */
export const byTorchName: ReadonlyMap<string, TensorDType> = new Map(tensorTypes.map((t) => [torchName(t), t]));
/** By NumPy's name. @internal */
export const byNumpyName: ReadonlyMap<string, TensorDType> = new Map(
  tensorTypes.flatMap((t) => (numpyName(t) === undefined ? [] : [[numpyName(t)!, t] as const])),
);

/** Bytes of one number. @internal */
export const widthOf = (dtype: TensorDType): number => tensorArrays[dtype].BYTES_PER_ELEMENT;

/** Whether a value can be a size of a tensor. @internal */
export const isSize = (n: unknown): n is number => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0;

/** Bytes of a tensor; undefined where that is no number that a file can have. @internal */
export function byteCount(shape: readonly number[], width: number): number | undefined {
  // A product beyond 2^53 is inexact but never small again, unless a size is 0 - and then nothing is needed.
  const bytes = shape.includes(0) ? 0 : shape.reduce((n, size) => n * size, width);
  return isSize(bytes) ? bytes : undefined;
}

/** The bytes of a tensor, without a copy. @internal */
export const bytesOf = ({ data }: StoredTensor): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** The numbers in some little-endian bytes, as a copy where they are not aligned. @internal */
export function arrayOf(dtype: TensorDType, bytes: Uint8Array): TensorArray {
  const aligned = bytes.byteOffset % widthOf(dtype) === 0 ? bytes : new Uint8Array(bytes);
  return new tensorArrays[dtype](
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    aligned.byteLength / widthOf(dtype),
  );
}

/** Turns big-endian numbers into little-endian ones, in place. @internal */
export function swapBytes(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (width === 2) buffer.swap16();
  else if (width === 4) buffer.swap32();
  else if (width === 8) buffer.swap64();
}

/** A new array of bytes; what does not fit into memory is a typed error. @internal */
export function allocateBytes(count: number, what: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(count);
  } catch (cause) {
    throw new PtmzError('OUT_OF_MEMORY', `${what}: ${count} bytes do not fit into memory`, { cause });
  }
}

/** A tensor under this package's names of types, as `run.stateDict()` gives it. */
export interface NamedTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/** Whether a value looks like a tensor of one of the two kinds. @internal */
export function isTensor(value: unknown): value is StoredTensor | NamedTensor {
  const { dtype, shape, data } = (value ?? {}) as Partial<NamedTensor>;
  return typeof dtype === 'string' && Array.isArray(shape) && ArrayBuffer.isView(data);
}

/**
 * A tensor of either kind as it is stored; its dtype, shape and data must fit together.
 *
 * @param name what to call it in errors
 * @throws PtmzError `INVALID_ARGUMENT`
 * @internal
 */
export function toStored(name: string, tensor: StoredTensor | NamedTensor): StoredTensor {
  const dtype = byTorchName.get(tensor.dtype) ?? (tensor.dtype as TensorDType);
  const refuse = (what: string) => new PtmzError('INVALID_ARGUMENT', `Expected ${what}`);
  if (!Object.hasOwn(tensorArrays, dtype))
    throw refuse(`one of ${tensorTypes.join(', ')} for the dtype of ${name} but received '${tensor.dtype}'`);
  const { shape, data } = tensor;
  if (!(data instanceof tensorArrays[dtype]))
    throw refuse(`${tensorArrays[dtype].name} for the data of ${name} of type ${dtype}`);
  if (!shape.every(isSize) || shape.reduce((n, size) => n * size, 1) !== data.length)
    throw refuse(`sizes with product ${data.length} for the shape of ${name} but received [${shape.join(',')}]`);
  return { dtype, shape: [...shape], data };
}
