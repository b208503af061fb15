/** SVHN (Netzer et al. 2011), cropped digits: 73,257 + 26,032 colour images of 32 x 32 house numbers, as MATLAB files. */
import { join } from 'node:path';
import { PtmzError } from '../errors.js';
import { arrays, type DataSet } from './dataset.js';
import { entryKind, malformed } from './files.js';
import { checkImageSet, type ImageSetOptions } from './imageSet.js';
import { takeBalanced, type ByteImages } from './subset.js';
import { readMat } from './matFile.js';

const CLASSES = 10;
const SIDE = 32;
const COUNTS = [73_257, 26_032] as const;
const FILES = ['train_32x32.mat', 'test_32x32.mat'] as const;
// The largest part, "extra", has 531,131 images.
const MAX_BYTES = 2 ** 31;
const NORMALISE = { mean: [0.4377, 0.4438, 0.4728], std: [0.198, 0.201, 0.197] };

/**
 * Reads SVHN: train (73257,3,32,32), test (26032,3,32,32), or a fixed class-balanced part. The digit 0, which the files
 * call 10, is class 0.
 *
 * @param dir folder with `train_32x32.mat` and `test_32x32.mat`
 * @throws PtmzError `DATA_MISSING`; `DATA_MALFORMED`, `TRUNCATED` or `LIMIT_EXCEEDED` with the file and what is wrong;
 * `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { PtmzError, svhn } from 'ptmz-native';
 * try {
 *   const data = await svhn('data', { train: 4000, test: 1000 });
 *   console.log(data.train.shape); // [4000, 3, 32, 32]
 * } catch (error) {
 *   if (error instanceof PtmzError) console.log(error.code); // DATA_MISSING: there is no such folder here
 * }
 * ```
 */
export async function svhn(dir: string, options: ImageSetOptions = {}): Promise<DataSet> {
  checkImageSet(dir, options, COUNTS);
  for (const path of FILES.map((name) => join(dir, name))) {
    if ((await entryKind(path)) === 'file') continue;
    const hint = 'ptmz data get svhn downloads it; pass the folder that holds the two .mat files.';
    throw new PtmzError('DATA_MISSING', `${path}: no such file; ${dir} has no SVHN`, { hint });
  }
  const train = takeBalanced(await readPart(join(dir, FILES[0])), CLASSES, options.train);
  const test = takeBalanced(await readPart(join(dir, FILES[1])), CLASSES, options.test);
  return arrays({ ...train, classes: CLASSES, test, name: 'SVHN', normalise: options.normalise ?? NORMALISE });
}

/** `X` (32,32,3,N) and `y` (N,1): the first axis, of rows, is the fastest. */
async function readPart(path: string): Promise<ByteImages> {
  const { X: images, y: labels } = Object.fromEntries(await readMat(path, ['X', 'y'], MAX_BYTES));
  const describe = (array: typeof images) => (array ? `${array.dtype} ${array.shape.join(' x ')}` : 'none');
  const [rows, columns, channels, count] = images?.shape ?? [];
  if (images?.dtype !== 'U8' || rows !== SIDE || columns !== SIDE || channels !== 3 || !count)
    throw malformed(path, `expected an array U8 32 x 32 x 3 x N as 'X', there is ${describe(images)}`);
  if (labels?.data.length !== count)
    throw malformed(path, `expected ${count} labels as 'y', there is ${describe(labels)}`);
  const classes = Array.from<number | bigint, number>(labels.data, Number);
  const odd = classes.findIndex((label) => !(Number.isInteger(label) && label >= 1 && label <= CLASSES));
  if (odd >= 0) throw malformed(path, `label ${classes[odd]} of image ${odd} is not an integer from 1 to ${CLASSES}`);
  transposePlanes(images.data as Uint8Array, SIDE);
  return {
    images: images.data as Uint8Array,
    shape: [count, 3, SIDE, SIDE],
    labels: classes.map((label) => label % CLASSES),
  };
}

/** Turns planes of columns into planes of rows, in place. @internal */
export function transposePlanes(images: Uint8Array, side: number): void {
  const plane = side * side;
  for (let start = 0; start < images.length; start += plane) {
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < row; column++) {
        const [a, b] = [start + row * side + column, start + column * side + row];
        const kept = images[a]!;
        images[a] = images[b]!;
        images[b] = kept;
      }
    }
  }
}
