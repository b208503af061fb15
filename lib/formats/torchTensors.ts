/** Tensors of a PyTorch file once its pickle has been read: views become arrays, and storages are read on the way. */
import { PtmzError } from '../errors.js';
import { NumpyArray } from './numpyPickle.js';
import { PickleGlobal, PickleTuple, type PickleObject, type PickleValue } from './pickleValue.js';
import {
  allocateBytes,
  arrayOf,
  byteCount,
  swapBytes,
  widthOf,
  type StoredTensor,
  type TensorArray,
} from './storedTensor.js';
import { copyStrided, isContiguous } from './stridedCopy.js';
import { TorchView, type TorchStorage } from './torchPickle.js';
import type { TorchValue } from './torchValue.js';

/** Where the bytes of storages come from. */
export interface TorchSource {
  path: string;
  bigEndian: boolean;
  /** Exactly `storage.bytes` bytes. */
  read(storage: TorchStorage): Uint8Array<ArrayBuffer>;
}

// A view with stride 0 is as large as its sizes say, from a few bytes; real checkpoints hold few and small ones.
const freeCopies = 2 ** 24;
const copiesPerByte = 4;

/** Turns the value of a pickle into plain values; shared values stay shared. */
export class TorchTensors {
  readonly #arrays = new Map<string, TensorArray>();
  readonly #values = new Map<PickleValue, TorchValue>();
  #read = 0;
  #copied = 0;

  constructor(readonly source: TorchSource) {}

  /** The depth of a pickled value is limited, so this may recurse. */
  convert(value: PickleValue): TorchValue {
    if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return value;
    const known = this.#values.get(value);
    if (known !== undefined) return known;
    const converted = this.#object(value);
    this.#values.set(value, converted);
    return converted;
  }

  #object(value: Exclude<PickleValue, string | number | bigint | boolean | null | Uint8Array>): TorchValue {
    if (Array.isArray(value)) return value.map((item) => this.convert(item));
    if (value instanceof PickleTuple) return value.items.map((item) => this.convert(item));
    if (value instanceof Map) return new Map(Array.from(value, ([key, item]) => [key, this.convert(item)]));
    if (value instanceof PickleGlobal) return value.name;
    if (value instanceof TorchView) return this.#tensor(value);
    if (value instanceof NumpyArray) return value.toTensor();
    throw this.#fail(`a ${(value as PickleObject).constructor.name} that belongs to no tensor`);
  }

  #tensor({ storage, dtype, offset, shape, strides }: TorchView): StoredTensor {
    const all = this.#array(storage, dtype);
    const count = byteCount(shape, 1)!;
    if (isContiguous(shape, strides))
      return { dtype, shape, data: all.subarray(count && offset, count && offset + count) };
    this.#copied += count * widthOf(dtype);
    if (this.#copied > freeCopies + copiesPerByte * this.#read)
      throw this.#fail(`its tensors, unfolded, take ${this.#copied} bytes from ${this.#read}`, 'LIMIT_EXCEEDED');
    const data = arrayOf(dtype, allocateBytes(count * widthOf(dtype), this.source.path));
    copyStrided(all, data, offset, shape, strides);
    return { dtype, shape, data };
  }

  /** A storage without a type of its own may be seen as several. */
  #array(storage: TorchStorage, dtype: TorchView['dtype']): TensorArray {
    const key = `${dtype} ${storage.bytes} ${storage.key}`;
    const known = this.#arrays.get(key);
    if (known) return known;
    const width = widthOf(dtype);
    const bytes = this.source.read(storage);
    this.#read += bytes.length;
    if (this.source.bigEndian) swapBytes(bytes, width);
    const array = arrayOf(dtype, bytes.subarray(0, bytes.length - (bytes.length % width)));
    this.#arrays.set(key, array);
    return array;
  }

  #fail(what: string, code: PtmzError['code'] = 'DATA_MALFORMED'): PtmzError {
    return new PtmzError(code, `${this.source.path}: ${what}`);
  }
}
