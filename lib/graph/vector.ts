/** Vector: rows of numbers in native memory, one row per member. */
import { checkDevice } from '../device.js';
import {
  callNative,
  checkInteger,
  checkNumber,
  checkObject,
  checkOneOf,
  invalidArgument,
  PtmzError,
  unexpected,
} from '../errors.js';
import { loadNative } from '../load.js';
import type { NativeArray, NativeDType, NativeVector } from '../native.js';

export type { NativeArray as TypedArray, NativeDType as DType } from '../native.js';

const arrays = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array } as const;
const dtypes = Object.keys(arrays) as NativeDType[];
const distributions = ['uniform', 'normal', 'rademacher'] as const;
const purposes = ['init', 'order', 'augment', 'probe'] as const;

/** What {@link Vector.random} takes. */
export interface RandomOptions {
  /** `uniform` on [0, 1), standard `normal` or `rademacher` (-1 or 1). */
  distribution: (typeof distributions)[number];
  /** One per row: integers in [0, 2^53). */
  seeds: readonly number[];
  /** What the numbers are for; numbers of different purposes never share a stream. Default `probe`. */
  purpose?: (typeof purposes)[number];
  stream?: number;
  epoch?: number;
  step?: number;
  /** Numbers are drawn x scale + shift; defaults 1 and 0. */
  scale?: number;
  shift?: number;
  /** The elements to fill: `length` (default: to the end) from `offset` (default 0) on. */
  offset?: number;
  length?: number;
}

/** A typed array of the vector's element type that holds these numbers. @internal */
export function convertArray(name: string, dtype: NativeDType, data: NativeArray | readonly number[]): NativeArray {
  const type = arrays[dtype];
  if (data instanceof type) return data;
  if (!Array.isArray(data) && !ArrayBuffer.isView(data)) throw invalidArgument(name, `numbers or a ${type.name}`, data);
  if (data instanceof BigInt64Array || data instanceof DataView)
    throw invalidArgument(name, `numbers or a ${type.name}`, data);
  const numbers = data as ArrayLike<number>;
  if (dtype === 'int32' || dtype === 'uint8') {
    const [low, high] = dtype === 'int32' ? [-(2 ** 31), 2 ** 32 - 1] : [0, 255];
    for (let i = 0; i < numbers.length; ++i) checkInteger(`${name}[${i}]`, numbers[i], low, high);
  }
  return type.from(numbers);
}

/**
 * Numbers in native memory: `rows` rows (members) of `size` elements. Programs read and write vectors in place, so
 * parameters need not cross into JavaScript between steps.
 *
 * @example
 * ```ts
 * import { Vector } from 'ptmz-native';
 * using v = new Vector('float32', 2, 3);
 * v.set(1, [1, 2, 3]);
 * v.toArray(1); // Float32Array [1, 2, 3]
 * ```
 */
export class Vector implements Disposable {
  #native: NativeVector | null;
  /** `cpu` or `cuda:N`. */
  readonly device: string;

  /**
   * A vector of zeros.
   * @param rows >= 1, one per member
   * @param size >= 0, elements of a row
   * @param device where its memory is: `cpu` (default), `cuda` or `cuda:N`
   * @throws PtmzError `OUT_OF_MEMORY`; `CUDA_UNAVAILABLE` with the reason
   */
  constructor(
    readonly dtype: NativeDType,
    readonly rows: number,
    readonly size: number,
    device: string = 'cpu',
  ) {
    this.device = checkDevice('device', device);
    checkOneOf('dtype', dtype, dtypes);
    checkInteger('rows', rows, 1, 2 ** 31 - 1);
    checkInteger('size', size, 0, 2 ** 48);
    const addon = loadNative();
    this.#native = callNative(() => new addon.Vector(dtype, rows, size, this.device));
  }

  /** @internal */
  get native(): NativeVector {
    if (this.#native) return this.#native;
    throw new PtmzError('DISPOSED', 'The vector was disposed');
  }

  /** Bytes of native memory. */
  get bytes(): number {
    return this.rows * this.size * arrays[this.dtype].BYTES_PER_ELEMENT;
  }

  /** A copy of one row. */
  toArray(row = 0): NativeArray {
    checkInteger('row', row, 0, this.rows - 1);
    const target = new arrays[this.dtype](this.size);
    callNative(() => this.native.read(row, 0, target));
    return target;
  }

  /** The one element of a row; throws `INVALID_ARGUMENT` where rows are longer (torch.Tensor.item). */
  item(row = 0): number {
    if (this.size !== 1) throw new PtmzError('INVALID_ARGUMENT', `item: expected rows of size 1, got ${this.size}`);
    return this.toArray(row)[0]!;
  }

  /** Writes numbers into a row, from element `offset` on. */
  set(row: number, data: NativeArray | readonly number[], offset = 0): this {
    checkInteger('row', row, 0, this.rows - 1);
    checkInteger('offset', offset, 0, this.size);
    const source = convertArray('data', this.dtype, data);
    if (offset + source.length > this.size)
      throw unexpected('data', `at most ${this.size - offset} numbers`, `${source.length} numbers`);
    callNative(() => this.native.write(row, offset, source));
    return this;
  }

  /** Writes one number into every element. */
  fill(value: number): this {
    if (typeof value !== 'number') throw invalidArgument('value', 'a number', value);
    callNative(() => this.native.fill(value));
    return this;
  }

  /** Fills with Philox numbers that depend only on the row's seed, purpose, stream, epoch, step and the position. */
  random(options: RandomOptions): this {
    checkObject('options of random', options);
    checkOneOf('distribution', options.distribution, distributions);
    const offset = checkInteger('offset', options.offset ?? 0, 0, this.size);
    if (options.seeds?.length !== this.rows)
      throw invalidArgument('seeds', `${this.rows} seeds, one per row`, options.seeds);
    options.seeds.forEach((seed) => checkInteger('seed', seed, 0));
    const word = (name: string, value = 0) => checkInteger(name, value, 0, 2 ** 32 - 1);
    const request = {
      offset,
      length: checkInteger('length', options.length ?? this.size - offset, 0, this.size - offset),
      distribution: options.distribution,
      seeds: [...options.seeds],
      purpose: checkOneOf('purpose', options.purpose ?? 'probe', purposes),
      stream: word('stream', options.stream),
      epoch: word('epoch', options.epoch),
      step: word('step', options.step),
      scale: checkNumber('scale', options.scale ?? 1),
      shift: checkNumber('shift', options.shift ?? 0),
    };
    callNative(() => this.native.random(request));
    return this;
  }

  /** Frees the memory; while a job uses it, at the job's end. */
  dispose(): void {
    this.#native?.dispose();
    this.#native = null;
  }

  /** The same as {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * The input `key` of a program that draws random numbers, for one member.
 *
 * @param seed an integer in [0, 2^53)
 * @param epoch an integer in [0, 2^32)
 * @param step an integer in [0, 2^32)
 * @example
 * ```ts
 * import { Graph, randomKey } from 'ptmz-native';
 * using graph = new Graph();
 * using program = graph.compile({ noise: graph.random([3], 'normal') });
 * const { noise } = await program.run({ key: randomKey(7) });
 * ```
 */
export function randomKey(seed: number, epoch = 0, step = 0): Int32Array {
  checkInteger('seed', seed, 0);
  checkInteger('epoch', epoch, 0, 2 ** 32 - 1);
  checkInteger('step', step, 0, 2 ** 32 - 1);
  return Int32Array.of(seed % 2 ** 32, Math.floor(seed / 2 ** 32), epoch, step);
}
