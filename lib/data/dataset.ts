/** Data sets: labelled images that live in native memory, once for all members that train on them. */
import { createHash } from 'node:crypto';
import { callNative, checkArray, checkInteger, checkObject, checkString, invalidArgument } from '../errors.js';
import { loadNative } from '../load.js';
import type { NativeArray, NativeVector } from '../native.js';
import { Split } from './split.js';

/** Samples, channels, height, width. */
export type ImageShape = readonly [n: number, channels: number, height: number, width: number];

/** Per channel, on the scale 0 to 1 for bytes: a batch holds (x - mean) / std. */
export interface Normalisation {
  mean: readonly number[];
  std: readonly number[];
}

/** Images and labels as plain arrays. */
export interface ImageArrays {
  /** Images in the order N, C, H, W: bytes 0 to 255, or floats. */
  images: Uint8Array | Float32Array;
  shape: ImageShape;
  /** One class number per image. */
  labels: ArrayLike<number>;
}

/** What {@link arrays} takes. */
export interface ArraysOptions extends ImageArrays {
  /** Number of classes; one more than the largest label where left out. */
  classes?: number;
  /** Images to evaluate on. */
  test?: ImageArrays;
  /** Computed from the training images where left out. */
  normalise?: Normalisation;
  name?: string;
}

/** A data set for training; `test` may be missing. */
export interface DataSet<S extends Split = DataSplit> {
  readonly name: string;
  readonly classes: number;
  readonly train: S;
  readonly test?: S;
}

const digestBlock = 2 ** 22;

/** Images and labels, resident in native memory. */
export class DataSplit extends Split {
  declare readonly shape: ImageShape;
  readonly labels: Int32Array;
  readonly normalisation: Normalisation;
  #digest: string | undefined;

  /** Use {@link arrays} or a reader. The arrays are copied. @internal */
  constructor(source: ImageArrays, classes: number, normalisation?: Normalisation) {
    const [n, channels, height, width] = source.shape;
    const labels = Int32Array.from(source.labels);
    const used = normalisation ?? channelStatistics(source);
    super([n, channels, height, width], classes, {
      samples: resident(source.images instanceof Uint8Array ? 'uint8' : 'float32', source.images),
      labels: resident('int32', labels),
      ...{
        count: n,
        channels,
        plane: height * width,
        mean: [...used.mean],
        deviation: [...used.std],
        window: 0,
        stride: 1,
      },
    });
    this.labels = labels;
    this.normalisation = used;
  }

  /** SHA-256 of samples, labels, shape and normalisation; computed once. @internal */
  digest(): string {
    if (this.#digest !== undefined) return this.#digest;
    const samples = this.native.samples!;
    const { shape, normalisation, classes } = this;
    const hash = createHash('sha256').update(JSON.stringify({ shape, normalisation, classes, dtype: samples.dtype }));
    const Type = samples.dtype === 'uint8' ? Uint8Array : Float32Array;
    for (let done = 0; done < samples.size; done += digestBlock) {
      const part: NativeArray = new Type(Math.min(digestBlock, samples.size - done));
      callNative(() => samples.read(0, done, part));
      hash.update(part);
    }
    return (this.#digest = hash.update(this.labels).digest('hex'));
  }

  /** The pixels of one image, (C,H,W), as they were given. */
  image(index: number): Uint8Array | Float32Array {
    checkInteger('index', index, 0, this.count - 1);
    const { channels, plane } = this.native;
    const samples = this.native.samples!;
    const size = channels * plane;
    const target = samples.dtype === 'uint8' ? new Uint8Array(size) : new Float32Array(size);
    callNative(() => samples.read(0, index * size, target));
    return target;
  }
}

/** @internal */
export function resident(
  dtype: 'uint8' | 'float32' | 'int32',
  array: Uint8Array | Float32Array | Int32Array,
): NativeVector {
  return callNative(() => {
    const vector = new (loadNative().Vector)(dtype, 1, array.length);
    vector.write(0, 0, array);
    return vector;
  });
}

/** Mean and standard deviation of every channel; a constant channel gets 1. */
function channelStatistics({ images, shape: [n, channels, height, width] }: ImageArrays): Normalisation {
  const plane = height * width;
  const scale = images instanceof Uint8Array ? 1 / 255 : 1;
  const mean = new Array<number>(channels).fill(0);
  const std = new Array<number>(channels).fill(0);
  // Two passes: the difference of large sums would lose the digits of a small deviation.
  for (const [sums, term] of [
    [mean, (x: number) => x],
    [std, (x: number, c: number) => (x - mean[c]!) ** 2],
  ] as const) {
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        const start = (i * channels + c) * plane;
        for (let k = start; k < start + plane; k++) sum += term(images[k]! * scale, c);
        sums[c]! += sum;
      }
    }
    for (let c = 0; c < channels; c++) sums[c]! /= n * plane;
  }
  return { mean, std: std.map((variance) => Math.sqrt(variance) || 1) };
}

function checkImages(name: string, source: ImageArrays, channels?: ImageShape): void {
  const { images, shape, labels } = source;
  checkArray(`${name}shape`, shape, 4);
  shape.forEach((size, i) => checkInteger(`${name}shape[${i}]`, size, 1, 2 ** 31 - 1));
  if (!(images instanceof Uint8Array || images instanceof Float32Array))
    throw invalidArgument(`${name}images`, 'a Uint8Array or a Float32Array', images);
  const size = shape.reduce((product, s) => product * s, 1);
  if (images.length !== size)
    throw invalidArgument(`${name}images`, `${shape.join(' x ')} = ${size} values`, images.length);
  if (typeof labels !== 'object' || labels === null || labels.length !== shape[0])
    throw invalidArgument(`${name}labels`, `${shape[0]} class numbers, one per image`, labels?.length ?? labels);
  if (channels && (shape[1] !== channels[1] || shape[2] !== channels[2] || shape[3] !== channels[3]))
    throw invalidArgument(`${name}shape`, `images of ${channels.slice(1).join(' x ')}, as for training`, shape);
  if (images instanceof Float32Array) {
    const odd = images.findIndex((x) => !Number.isFinite(x));
    if (odd >= 0) throw invalidArgument(`${name}images[${odd}]`, 'a finite number', images[odd]);
  }
}

function checkLabels(name: string, labels: ArrayLike<number>, classes: number): void {
  for (let i = 0; i < labels.length; i++) checkInteger(`${name}labels[${i}]`, labels[i], 0, classes - 1);
}

/** @internal */
export function checkNormalisation(value: Normalisation, channels: number): void {
  checkObject('normalise', value, ['mean', 'std']);
  for (const key of ['mean', 'std'] as const) {
    checkArray(`normalise.${key}`, value[key], channels);
    value[key].forEach((x, c) => {
      if (!Number.isFinite(x) || (key === 'std' && x <= 0))
        throw invalidArgument(`normalise.${key}[${c}]`, key === 'std' ? 'a number above 0' : 'a finite number', x);
    });
  }
}

/**
 * A data set from arrays in memory. They are copied.
 *
 * @throws PtmzError `INVALID_ARGUMENT` naming what does not fit
 * @example
 * ```ts
 * import { arrays } from 'ptmz-native';
 * const data = arrays({ images: new Uint8Array(4 * 8 * 8), shape: [4, 1, 8, 8], labels: [0, 1, 0, 1], classes: 2 });
 * data.train.count; // 4
 * ```
 */
export function arrays(options: ArraysOptions): DataSet {
  checkObject('options', options, ['images', 'shape', 'labels', 'classes', 'test', 'normalise', 'name']);
  checkImages('', options);
  if (options.name !== undefined) checkString('name', options.name);
  if (options.classes !== undefined) checkInteger('classes', options.classes, 1, 2 ** 31 - 1);
  checkLabels('', options.labels, options.classes ?? 2 ** 31 - 1);
  const classes = options.classes ?? 1 + Array.from(options.labels).reduce((a, b) => Math.max(a, b), 0);
  if (options.normalise) checkNormalisation(options.normalise, options.shape[1]);
  if (options.test !== undefined) {
    checkObject('test', options.test, ['images', 'shape', 'labels']);
    checkImages('test.', options.test, options.shape);
    checkLabels('test.', options.test.labels, classes);
  }
  const train = new DataSplit(options, classes, options.normalise);
  const name = options.name ?? 'arrays';
  if (!options.test) return { name, classes, train };
  return { name, classes, train, test: new DataSplit(options.test, classes, train.normalisation) };
}
