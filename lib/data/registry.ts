/** The data sets that can be named in one line, `NAME` or `NAME:PATH`; a new one is a reader beside this and a row here. */
import { basename, extname, resolve } from 'node:path';
import { checkOneOf, checkString, unexpected } from '../errors.js';
import { cifar10, cifar100 } from './cifar.js';
import type { DataSet } from './dataset.js';
import { digits } from './digits.js';
import { fashionMnist } from './fashionMnist.js';
import { idxFolder } from './idxFolder.js';
import { imageFolder, type ImageFolderOptions } from './imageFolder.js';
import type { Split } from './split.js';
import { stl10 } from './stl10.js';
import { svhn } from './svhn.js';
import { textFile } from './textFile.js';
import { tinyImageNet } from './tinyImageNet.js';
import { tokens } from './tokens.js';

/** What can be asked of a reader: `size` only of one that has it, `block` of text. */
export type OpenDataOptions = Pick<ImageFolderOptions, 'train' | 'test' | 'size' | 'signal' | 'onProgress'> & {
  /** Length of a window; default 64. */
  block?: number;
};

interface DataSource {
  description: string;
  /** Default `images`. */
  kind?: 'text';
  /** Whether a path follows the name: of a folder, or of a file. */
  path: 'none' | 'optional' | 'required' | 'file';
  /** Images that it has, where that is known; `train` and `test` of the options take a part. */
  counts?: readonly [train: number, test: number];
  /** `DataSet.name` of what it reads, where that is always the same. */
  title?: string;
  /** Whether images can be brought to a size while they are read. */
  resizes?: true;
  open(path: string | undefined, options: OpenDataOptions): Promise<DataSet<Split>>;
}

/** Tokens in a window, where nothing is said. */
const standardBlock = 64;

const counts = ({ train, test }: OpenDataOptions) => ({ train, test });

/** The hash of the files, by which a saved run knows them, is computed here, where its progress can be seen. */
async function openTokens(dir: string, options: OpenDataOptions): Promise<DataSet<Split>> {
  const { block = standardBlock, train, test, signal, onProgress } = options;
  const files = await tokens(dir);
  try {
    const data = files.windows({ block }, { train, test });
    const splits = [files.train, ...(files.test ? [files.test] : [])];
    const total = splits.reduce((sum, { count }) => sum + count, 0);
    let before = 0;
    for (const split of splits) {
      await split.hash({
        ...(signal && { signal }),
        onProgress: (done) => onProgress?.({ done: before + done, total }),
      });
      before += split.count;
    }
    return data;
  } catch (error) {
    files[Symbol.dispose]();
    throw error;
  }
}

/** All sources by name. @internal */
export const dataSources = {
  digits: {
    description: 'handwritten 8 x 8 digits, part of this package',
    path: 'none',
    counts: [1437, 360],
    title: 'digits',
    open: (_, options) => digits(counts(options)),
  },
  'fashion-mnist': {
    description: "Fashion-MNIST, 28 x 28; without a path, that of Debian's dataset-fashion-mnist",
    path: 'optional',
    counts: [60_000, 10_000],
    title: 'Fashion-MNIST',
    open: (dir, options) => fashionMnist({ dir, ...counts(options) }),
  },
  cifar10: {
    description: 'CIFAR-10, the unpacked binary or Python version',
    path: 'required',
    counts: [50_000, 10_000],
    title: 'CIFAR-10',
    open: (dir, options) => cifar10(dir!, counts(options)),
  },
  cifar100: {
    description: 'CIFAR-100 with its fine labels, unpacked',
    path: 'required',
    counts: [50_000, 10_000],
    title: 'CIFAR-100',
    open: (dir, options) => cifar100(dir!, counts(options)),
  },
  'cifar100-coarse': {
    description: 'CIFAR-100 with its 20 coarse labels, unpacked',
    path: 'required',
    counts: [50_000, 10_000],
    title: 'CIFAR-100 coarse',
    open: (dir, options) => cifar100(dir!, { ...counts(options), labels: 'coarse' }),
  },
  svhn: {
    description: 'SVHN, cropped digits: train_32x32.mat and test_32x32.mat',
    path: 'required',
    counts: [73_257, 26_032],
    title: 'SVHN',
    open: (dir, options) => svhn(dir!, counts(options)),
  },
  stl10: {
    description: 'STL-10, 96 x 96, the unpacked binary version',
    path: 'required',
    counts: [5000, 8000],
    title: 'STL-10',
    open: (dir, options) => stl10(dir!, counts(options)),
  },
  'tiny-imagenet': {
    description: 'TinyImageNet, 64 x 64, unpacked; needs sharp',
    path: 'required',
    counts: [100_000, 10_000],
    title: 'TinyImageNet',
    open: (dir, { signal, onProgress, ...options }) => tinyImageNet(dir!, { ...counts(options), signal, onProgress }),
  },
  idx: {
    description: "IDX files named as MNIST's, gzipped or not",
    path: 'required',
    open: (dir, options) => idxFolder(dir!, counts(options)),
  },
  'image-folder': {
    description: 'JPEG and PNG files, one folder per class, below train and test or val; needs sharp',
    path: 'required',
    resizes: true,
    open: (dir, { train, test, size, signal, onProgress }) =>
      imageFolder(dir!, { train, test, size, signal, onProgress }),
  },
  tokens: {
    description: 'train.bin and val.bin of nanoGPT or ptmz data tokenize, read as they are needed',
    kind: 'text',
    path: 'required',
    open: (dir, options) => openTokens(dir!, options),
  },
  text: {
    description: 'a text in UTF-8, one token per character; its last tenth to test',
    kind: 'text',
    path: 'file',
    open: (file, { block = standardBlock, train, test }) => textFile(file!, { block, windows: { train, test } }),
  },
} satisfies Record<string, DataSource> as Readonly<Record<string, DataSource>>;

/** A source and where it reads. @internal */
export interface DataSpec {
  name: string;
  path?: string;
}

/** How a source is written: `digits`, `fashion-mnist[:DIR]`, `cifar10:DIR`. @internal */
export function specPattern(name: string): string {
  const { path } = dataSources[name]!;
  return { none: name, optional: `${name}[:DIR]`, required: `${name}:DIR`, file: `${name}:FILE` }[path];
}

/**
 * Reads `NAME` or `NAME:PATH`.
 *
 * @throws PtmzError `INVALID_ARGUMENT` listing the names, or saying that a path is missing or too much
 * @internal
 */
export function parseDataSpec(spec: string): DataSpec {
  checkString('data', spec);
  const colon = spec.indexOf(':');
  const name = colon < 0 ? spec : spec.slice(0, colon);
  const path = colon < 0 ? undefined : spec.slice(colon + 1);
  const source = dataSources[checkOneOf('data', name, Object.keys(dataSources))]!;
  const wrong = source.path === 'none' ? path !== undefined : path === '' || (source.path !== 'optional' && !path);
  if (wrong) throw unexpected('data', specPattern(name), `'${spec}'`);
  return path === undefined ? { name } : { name, path };
}

/** A spec as text that means the same in every folder. @internal */
export function formatDataSpec({ name, path }: DataSpec): string {
  return path === undefined ? name : `${name}:${resolve(path)}`;
}

/** A word for a spec: its own name, or that of its folder where there are many such data sets. @internal */
export function shortName({ name, path }: DataSpec): string {
  const { title, path: kind } = dataSources[name]!;
  if (title !== undefined || path === undefined) return name;
  return kind === 'file' ? basename(path, extname(path)) : basename(resolve(path));
}

/** The source that finds a data set again by its `DataSet.name` alone. @internal */
export function findSource(title: string): DataSpec | undefined {
  const row = Object.entries(dataSources).find(([, source]) => source.title === title && source.path !== 'required');
  return row && { name: row[0] };
}

/**
 * Reads a data set.
 *
 * @throws PtmzError `INVALID_ARGUMENT` for an option that the source does not have, and what its reader throws
 * @internal
 */
export async function openData({ name, path }: DataSpec, options: OpenDataOptions = {}): Promise<DataSet<Split>> {
  const source = dataSources[name]!;
  if (options.block !== undefined && source.kind !== 'text')
    throw unexpected('block', `nothing: ${name} are images`, String(options.block));
  if (options.size !== undefined && source.resizes === undefined)
    throw unexpected('size', `nothing: the images of ${name} have theirs`, String(options.size));
  options.signal?.throwIfAborted();
  return source.open(path, options);
}

/** What a source has. @internal */
export const kindOf = ({ name }: DataSpec): 'images' | 'text' => dataSources[name]!.kind ?? 'images';

/**
 * As {@link openData}, of images alone.
 *
 * @throws PtmzError `INVALID_ARGUMENT` for a text, and what its reader throws
 * @internal
 */
export async function openImages(spec: DataSpec, options: OpenDataOptions = {}): Promise<DataSet> {
  if (kindOf(spec) !== 'images') throw unexpected('data', 'images', `the text ${formatDataSpec(spec)}`);
  return (await openData(spec, options)) as DataSet;
}
