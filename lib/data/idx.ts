/** IDX files (the MNIST family's format), plain or gzipped, read strictly: nothing short, long or odd is accepted. */
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { checkString, PtmzError } from '../errors.js';
import type { ImageArrays } from './dataset.js';
import { malformed, readWhole } from './files.js';
import { takeBalanced } from './subset.js';

/** The content of an IDX file of unsigned bytes. */
export interface IdxArray {
  /** 1 to 4 sizes, slowest first. */
  shape: number[];
  data: Uint8Array;
}

const MAX_BYTES = 2 ** 30;
const ELEMENT_TYPES: Record<number, string> = {
  0x08: 'uint8',
  0x09: 'int8',
  0x0b: 'int16',
  0x0c: 'int32',
  0x0d: 'float32',
  0x0e: 'float64',
};

/**
 * Reads an IDX file of unsigned bytes.
 *
 * @param path a file, gzipped or not; at most 1 GiB unpacked
 * @throws PtmzError `DATA_MISSING`, `IO_ERROR`, `LIMIT_EXCEEDED`, or `DATA_MALFORMED` with the path and what is wrong
 */
export async function readIdx(path: string): Promise<IdxArray> {
  checkString('path', path);
  return parseIdx(await unpack(path, await readWhole(path, MAX_BYTES)), path);
}

async function unpack(path: string, bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return await promisify(gunzip)(bytes, { maxOutputLength: MAX_BYTES });
  } catch (cause) {
    throw malformed(path, `gzip data is damaged or larger than ${MAX_BYTES} bytes: ${(cause as Error).message}`, cause);
  }
}

/** The bytes of an IDX file; `path` is for errors. @internal */
export function parseIdx(bytes: Uint8Array, path: string): IdxArray {
  if (bytes.length < 4) throw malformed(path, `expected an IDX header, the file has ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint16(0) !== 0) throw malformed(path, 'expected an IDX header, which begins with two zero bytes');
  const type = view.getUint8(2);
  if (type !== 0x08) {
    const name = ELEMENT_TYPES[type] ?? `unknown (0x${type.toString(16)})`;
    throw malformed(path, `expected elements of type uint8, the header says ${name}`);
  }
  const rank = view.getUint8(3);
  if (rank < 1 || rank > 4) throw malformed(path, `expected 1 to 4 dimensions, the header says ${rank}`);
  const header = 4 + 4 * rank;
  if (bytes.length < header) throw malformed(path, `the header is cut off after ${bytes.length} of ${header} bytes`);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  if (shape.includes(0)) throw malformed(path, `a dimension is zero: ${shape.join(' x ')}`);
  // Sizes are below 2^32, so a product of four may leave the exact integers; it is too large long before.
  const count = shape.reduce((product, size) => product * size, 1);
  const present = bytes.length - header;
  if (count !== present) {
    const what = present < count ? 'truncated' : 'followed by something else';
    throw malformed(path, `${what}: the header says ${shape.join(' x ')} = ${count} bytes, there are ${present}`);
  }
  return { shape, data: bytes.subarray(header) };
}

/** Images and labels from two IDX files, gzipped or not; `count` of them, class-balanced, or all. @internal */
export async function readIdxPair(
  dir: string,
  imagesName: string,
  labelsName: string,
  classes: number,
  count?: number,
): Promise<ImageArrays & { images: Uint8Array; labels: Uint8Array | number[] }> {
  const [imagesPath, labelsPath] = [join(dir, imagesName), join(dir, labelsName)];
  const [images, labels] = [await readEither(imagesPath), await readEither(labelsPath)];
  const [n, height, width] = images.shape;
  if (images.shape.length !== 3) throw malformed(imagesPath, `expected 3 dimensions, not ${images.shape.length}`);
  if (labels.shape.length !== 1 || labels.shape[0] !== n)
    throw malformed(labelsPath, `expected ${n} labels for as many images, the header says ${labels.shape.join(' x ')}`);
  const odd = labels.data.findIndex((label) => label >= classes);
  if (odd >= 0) throw malformed(labelsPath, `label ${labels.data[odd]} of image ${odd} is not below ${classes}`);
  const shape = [n!, 1, height!, width!] as const;
  return takeBalanced({ images: images.data, shape, labels: labels.data }, classes, count);
}

async function readEither(path: string): Promise<IdxArray> {
  try {
    return await readIdx(`${path}.gz`);
  } catch (error) {
    if (!(error instanceof PtmzError) || error.code !== 'DATA_MISSING') throw error;
    return readIdx(path);
  }
}
