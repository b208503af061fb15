/** The names that pickled NumPy arrays use, for the pickle reader. */
import {
  pickledKind,
  pickledText,
  PickleObject,
  PickleTuple,
  plainGlobals,
  type PickleFail,
  type PickleMake,
  type PickleValue,
} from './pickleValue.js';
import { arrayOf, byNumpyName, swapBytes, type StoredTensor } from './storedTensor.js';

const types = {
  b1: (view: DataView, at: number) => view.getUint8(at),
  u1: (view: DataView, at: number) => view.getUint8(at),
  i1: (view: DataView, at: number) => view.getInt8(at),
  u2: (view: DataView, at: number, little: boolean) => view.getUint16(at, little),
  i2: (view: DataView, at: number, little: boolean) => view.getInt16(at, little),
  u4: (view: DataView, at: number, little: boolean) => view.getUint32(at, little),
  i4: (view: DataView, at: number, little: boolean) => view.getInt32(at, little),
  u8: (view: DataView, at: number, little: boolean) => Number(view.getBigUint64(at, little)),
  i8: (view: DataView, at: number, little: boolean) => Number(view.getBigInt64(at, little)),
  f4: (view: DataView, at: number, little: boolean) => view.getFloat32(at, little),
  f8: (view: DataView, at: number, little: boolean) => view.getFloat64(at, little),
} as const;

/** NumPy's names: kind and bytes per element. */
export type NumpyType = keyof typeof types;

const maxRank = 32;

class DType extends PickleObject {
  little = true;
  constructor(readonly type: NumpyType) {
    super();
  }
  get size(): number {
    return Number(this.type[1]);
  }

  /** (version, byte order, subtype, names, fields, size, alignment, flags): all but the byte order must be plain. */
  build(state: PickleValue, fail: PickleFail): void {
    const [version, order, subtype, names, fields] = items(state, 'state of a dtype', fail);
    const byteOrder = pickledText(order);
    if (version !== 3 || byteOrder === undefined || !['<', '>', '|', '='].includes(byteOrder))
      throw fail('an unknown state of a dtype');
    if (subtype !== null || names !== null || fields !== null) throw fail('an array of records');
    this.little = byteOrder !== '>';
  }
}

/** An array: its bytes are a view of the file where that is possible. */
export class NumpyArray extends PickleObject {
  type: NumpyType = 'u1';
  shape: readonly number[] = [0];
  bytes: Uint8Array = new Uint8Array(0);
  #little = true;

  /** The elements of an array of any type, in the order of memory. 64-bit integers beyond 2^53 are rounded. */
  numbers(): number[] {
    const size = Number(this.type[1]);
    const view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    return Array.from({ length: this.bytes.length / size }, (_, i) => types[this.type](view, i * size, this.#little));
  }

  /** As a tensor of its own memory. */
  toTensor(): StoredTensor {
    const bytes = new Uint8Array(this.bytes);
    if (!this.#little) swapBytes(bytes, Number(this.type[1]));
    const dtype = byNumpyName.get(this.type)!;
    return { dtype, shape: [...this.shape], data: arrayOf(dtype, bytes) };
  }

  /** (version, shape, dtype, Fortran order, bytes) */
  build(state: PickleValue, fail: PickleFail): void {
    const [version, shape, dtype, fortran, bytes] = items(state, 'state of an array', fail, 5);
    if (version !== 1) throw fail('an unknown state of an array');
    this.assign(shape!, dtype!, fortran!, bytes!, fail);
  }

  assign(shape: PickleValue, dtype: PickleValue, fortran: PickleValue, bytes: PickleValue, fail: PickleFail): this {
    if (!(dtype instanceof DType)) throw fail(`${pickledKind(dtype)} as dtype of an array`);
    if (fortran !== false && fortran !== 0) throw fail('an array in Fortran order; save it in C order');
    if (!(bytes instanceof Uint8Array)) throw fail(`${pickledKind(bytes)} as content of an array`);
    const sizes = items(shape, 'shape of an array', fail);
    if (sizes.length > maxRank || !sizes.every(isSize)) throw fail('sizes that are none, in the shape of an array');
    const expected = sizes.reduce((product, size) => product * size, dtype.size);
    if (expected !== bytes.length)
      throw fail(`an array of ${sizes.join(' x ')} ${dtype.type} takes ${expected} bytes, there are ${bytes.length}`);
    this.type = dtype.type;
    this.shape = sizes;
    this.bytes = bytes;
    this.#little = dtype.little;
    return this;
  }
}

const isSize = (value: PickleValue): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

function items(value: PickleValue, what: string, fail: PickleFail, length?: number): readonly PickleValue[] {
  if (!(value instanceof PickleTuple)) throw fail(`${pickledKind(value)} as ${what}`);
  if (length !== undefined && value.items.length !== length) throw fail(`${value.items.length} values as ${what}`);
  return value.items;
}

/** `numpy.dtype('u1', False, True)` */
const makeDType: PickleMake = ([type, ...flags], fail) => {
  const name = pickledText(type)?.replace(/^[<>|=]/, '') ?? '';
  if (!Object.hasOwn(types, name)) throw fail(`an array of the unsupported type '${name.slice(0, 20)}'`);
  if (flags.length > 2) throw fail(`${1 + flags.length} arguments of dtype`);
  const dtype = new DType(name as NumpyType);
  dtype.little = !pickledText(type)!.startsWith('>');
  return dtype;
};

/** `_reconstruct(numpy.ndarray, (0,), b'b')`: an empty array; its state follows. */
const makeArray: PickleMake = (args, fail) => {
  if (args.length !== 3) throw fail(`${args.length} arguments of _reconstruct`);
  return new NumpyArray();
};

/** `_frombuffer(bytes, dtype, shape, order)`, from protocol 5 on. */
const makeFromBuffer: PickleMake = ([bytes, dtype, shape, order, ...rest], fail) => {
  if (order === undefined || rest.length > 0) throw fail('four arguments of _frombuffer were expected');
  return new NumpyArray().assign(shape!, dtype!, pickledText(order) !== 'C', bytes!, fail);
};

/** `scalar(dtype, bytes)` */
const makeScalar: PickleMake = ([dtype, bytes, ...rest], fail) => {
  if (bytes === undefined || rest.length > 0) throw fail('two arguments of scalar were expected');
  return new NumpyArray().assign(new PickleTuple([]), dtype!, false, bytes, fail).numbers()[0]!;
};

/** NumPy renamed its core in version 2. */
const inCore = (name: string, make: PickleMake) =>
  ['numpy.core', 'numpy._core'].map((core) => [`${core}.${name}`, make] as const);

/** What pickles of plain data and NumPy arrays may name. @internal */
export const numpyGlobals: ReadonlyMap<string, PickleMake | undefined> = new Map([
  ...plainGlobals,
  ['numpy.ndarray', undefined],
  ['numpy.dtype', makeDType],
  ...inCore('multiarray._reconstruct', makeArray),
  ...inCore('multiarray.scalar', makeScalar),
  ...inCore('numeric._frombuffer', makeFromBuffer),
]);
