/** CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32 x 32, binary or as Python pickles. */
import { join } from 'node:path';
import { checkObject, checkOneOf, PtmzError } from '../errors.js';
import { NumpyArray, numpyGlobals } from '../formats/numpyPickle.js';
import { parsePickle } from '../formats/pickle.js';
import { pickledKind, type PickleKey, type PickleValue } from '../formats/pickleValue.js';
import { arrays, type DataSet, type Normalisation } from './dataset.js';
import { entryKind, malformed, readWhole } from './files.js';
import { checkImageSet, imageSetKeys, type ImageSetOptions } from './imageSet.js';
import { takeBalanced, type ByteImages } from './subset.js';

/** What {@link cifar10} takes: parts of 50,000 training and 10,000 test images, and the normalisation. */
export type CifarOptions = ImageSetOptions;

/** What {@link cifar100} takes. */
export interface Cifar100Options extends CifarOptions {
  /** The 100 fine classes, or the 20 coarse ones that these belong to; default `fine`. */
  labels?: 'fine' | 'coarse';
}

type Format = 'binary' | 'pickle';

interface Variant {
  name: string;
  /** Of `ptmz data get`. */
  download: string;
  classes: number;
  normalise: Normalisation;
  /** Key of the labels in a pickle. */
  labels: string;
  /** Label bytes before the pixels of a binary record, and which of them counts. */
  labelBytes: number;
  labelByte: number;
  /** Folder that the archive unpacks to, and the files in it. */
  folder: Record<Format, string>;
  train: Record<Format, readonly string[]>;
  test: Record<Format, readonly string[]>;
}

const batches = (suffix: string) => [1, 2, 3, 4, 5].map((i) => `data_batch_${i}${suffix}`);

const CIFAR10: Variant = {
  name: 'CIFAR-10',
  download: 'cifar10',
  classes: 10,
  normalise: { mean: [125.3 / 255, 123.0 / 255, 113.9 / 255], std: [63.0 / 255, 62.1 / 255, 66.7 / 255] },
  labels: 'labels',
  labelBytes: 1,
  labelByte: 0,
  folder: { binary: 'cifar-10-batches-bin', pickle: 'cifar-10-batches-py' },
  train: { binary: batches('.bin'), pickle: batches('') },
  test: { binary: ['test_batch.bin'], pickle: ['test_batch'] },
};

const CIFAR100: Variant = {
  name: 'CIFAR-100',
  download: 'cifar100',
  classes: 100,
  normalise: { mean: [0.5071, 0.4867, 0.4408], std: [0.2675, 0.2565, 0.2761] },
  labels: 'fine_labels',
  labelBytes: 2,
  labelByte: 1,
  folder: { binary: 'cifar-100-binary', pickle: 'cifar-100-python' },
  train: { binary: ['train.bin'], pickle: ['train'] },
  test: { binary: ['test.bin'], pickle: ['test'] },
};

const CIFAR100_COARSE: Variant = {
  ...CIFAR100,
  name: 'CIFAR-100 coarse',
  classes: 20,
  labels: 'coarse_labels',
  labelByte: 0,
};

const PIXELS = 3 * 32 * 32;
const COUNTS = [50_000, 10_000] as const;
const MAX_BYTES = 2 ** 29;

/**
 * Reads CIFAR-10: train (50000,3,32,32), test (10000,3,32,32), 10 classes, or a fixed class-balanced part: the first
 * images of each class.
 *
 * @param dir `cifar-10-batches-py` (the Python version) or `cifar-10-batches-bin` (the binary one), or the folder that
 * holds one of them
 * @throws PtmzError `DATA_MISSING` listing what was looked for; `DATA_MALFORMED`, `UNSAFE_PICKLE` or `LIMIT_EXCEEDED`
 * with the file and what is wrong; `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { cifar10, PtmzError } from 'ptmz-native';
 * try {
 *   const data = await cifar10('data', { train: 4000, test: 1000 });
 *   console.log(data.train.shape); // [4000, 3, 32, 32]
 * } catch (error) {
 *   if (error instanceof PtmzError) console.log(error.code); // DATA_MISSING: there is no such folder here
 * }
 * ```
 */
export function cifar10(dir: string, options: CifarOptions = {}): Promise<DataSet> {
  return read(CIFAR10, dir, options);
}

/**
 * Reads CIFAR-100 with its 100 fine classes or its 20 coarse ones: train (50000,3,32,32), test (10000,3,32,32), or a part as {@link cifar10}.
 *
 * @param dir `cifar-100-python` or `cifar-100-binary`, or the folder that holds one of them
 * @throws PtmzError as {@link cifar10}
 * @example
 * ```ts
 * import { cifar100, PtmzError } from 'ptmz-native';
 * try {
 *   const data = await cifar100('data');
 *   console.log(data.classes); // 100
 * } catch (error) {
 *   if (error instanceof PtmzError) console.log(error.code); // DATA_MISSING: there is no such folder here
 * }
 * ```
 */
export async function cifar100(dir: string, options: Cifar100Options = {}): Promise<DataSet> {
  checkObject('options', options, [...imageSetKeys, 'labels']);
  const { labels = 'fine', ...rest } = options;
  checkOneOf('labels', labels, ['fine', 'coarse']);
  return read(labels === 'fine' ? CIFAR100 : CIFAR100_COARSE, dir, rest);
}

async function read(variant: Variant, dir: string, options: CifarOptions): Promise<DataSet> {
  checkImageSet(dir, options, COUNTS);
  const { folder, format } = await locate(variant, dir);
  const part = async (names: readonly string[], count: number | undefined) =>
    takeBalanced(await readParts(variant, folder, format, names), variant.classes, count);
  const train = await part(variant.train[format], options.train);
  const test = await part(variant.test[format], options.test);
  const { name, classes, normalise } = variant;
  return arrays({ ...train, classes, test, name, normalise: options.normalise ?? normalise });
}

/** The first of the four possible places that has all files. */
async function locate(variant: Variant, dir: string): Promise<{ folder: string; format: Format }> {
  const notes: string[] = [];
  for (const format of ['pickle', 'binary'] as const) {
    for (const folder of [dir, join(dir, variant.folder[format])]) {
      const names = [...variant.train[format], ...variant.test[format]];
      const kinds = await Promise.all(names.map((name) => entryKind(join(folder, name))));
      const missing = names.filter((_, i) => kinds[i] !== 'file');
      if (missing.length === 0) return { folder, format };
      const all = missing.length === names.length;
      notes.push(
        `${folder} has ${all ? 'none' : 'not all'} of ${names.join(', ')}${all ? '' : `: ${missing.join(', ')} missing`}`,
      );
    }
  }
  const hint =
    `ptmz data get ${variant.download} downloads it; pass the folder that holds ${variant.folder.pickle} or ` +
    `${variant.folder.binary}, unpacked.`;
  throw new PtmzError('DATA_MISSING', `${dir}: no ${variant.name} there; ${notes.join('; ')}`, { hint });
}

interface Part {
  images: Uint8Array;
  labels: readonly number[];
}

async function readParts(
  variant: Variant,
  folder: string,
  format: Format,
  names: readonly string[],
): Promise<ByteImages> {
  const parts: Part[] = [];
  for (const name of names) {
    const path = join(folder, name);
    const part = parsers[format](await readWhole(path, MAX_BYTES), path, variant);
    const odd = part.labels.findIndex((label) => !(Number.isInteger(label) && label >= 0 && label < variant.classes));
    if (odd >= 0)
      throw malformed(
        path,
        `label ${part.labels[odd]} of image ${odd} is not an integer from 0 to ${variant.classes - 1}`,
      );
    parts.push(part);
  }
  const labels = parts.flatMap((part) => part.labels);
  return { images: Buffer.concat(parts.map((part) => part.images)), shape: [labels.length, 3, 32, 32], labels };
}

const parsers: Record<Format, (bytes: Uint8Array, path: string, variant: Variant) => Part> = {
  binary: parseBinary,
  pickle: parseBatch,
};

/** Records of label bytes and 3,072 pixels, red, green, blue. */
function parseBinary(bytes: Uint8Array, path: string, { labelBytes, labelByte }: Variant): Part {
  const record = labelBytes + PIXELS;
  if (bytes.length === 0 || bytes.length % record !== 0)
    throw malformed(path, `expected a multiple of ${record} bytes, one record per image, the file has ${bytes.length}`);
  const count = bytes.length / record;
  const images = new Uint8Array(count * PIXELS);
  const labels: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = i * record + labelBytes;
    images.set(bytes.subarray(start, start + PIXELS), i * PIXELS);
    labels.push(bytes[i * record + labelByte]!);
  }
  return { images, labels };
}

/** A dict with an array `data` (N,3072) of uint8 and a list of labels. */
function parseBatch(bytes: Uint8Array, path: string, variant: Variant): Part {
  const { value, end } = parsePickle(bytes, path, { globals: numpyGlobals });
  if (end !== bytes.length)
    throw malformed(path, `${bytes.length - end} bytes follow the pickle, which ends at ${end}`);
  if (!(value instanceof Map)) throw malformed(path, `expected a pickled dict, there is ${pickledKind(value)}`);
  const data = entry(value, 'data', path);
  if (!(data instanceof NumpyArray && data.type === 'u1' && data.shape.length === 2 && data.shape[1] === PIXELS))
    throw malformed(path, `expected an array N x ${PIXELS} of uint8 as 'data', there is ${describe(data)}`);
  const labels = numbers(entry(value, variant.labels, path));
  const count = data.shape[0]!;
  if (count === 0) throw malformed(path, 'there are no images');
  if (labels?.length !== count)
    throw malformed(path, `expected ${count} integers as '${variant.labels}', there are ${labels?.length ?? 'others'}`);
  return { images: data.bytes, labels };
}

function entry(dict: Map<PickleKey, PickleValue>, key: string, path: string): PickleValue {
  const value = dict.get(key);
  if (value !== undefined) return value;
  const keys = [...dict.keys()].slice(0, 10).map((name) => JSON.stringify(String(name).slice(0, 40)));
  throw malformed(path, `expected a key '${key}', there are ${keys.join(', ') || 'none'}`);
}

const describe = (value: PickleValue) =>
  value instanceof NumpyArray ? `an array ${value.shape.join(' x ')} of ${value.type}` : pickledKind(value);

/** Of a list or a one-dimensional array. */
function numbers(value: PickleValue): readonly number[] | undefined {
  if (value instanceof NumpyArray) return value.shape.length === 1 ? value.numbers() : undefined;
  if (!Array.isArray(value)) return undefined;
  return value.every((label): label is number => typeof label === 'number') ? value : undefined;
}
