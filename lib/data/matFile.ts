/**
 * Reader of MATLAB files of version 5 to 7, compressed or not: the arrays of numbers in them, streamed so that no more
 * memory is taken than they need. (MAT-File Format, MathWorks, R2018b.)
 */
import { open } from 'node:fs/promises';
import { PtmzError } from '../errors.js';
import { byteCount, tensorArrays, type TensorArray, type TensorDType } from '../formats/storedTensor.js';
import { ByteStream } from './byteStream.js';
import { fileError, malformed } from './files.js';

/** An array of a MATLAB file: the first axis is the fastest, as MATLAB has it. */
export interface MatArray {
  name: string;
  shape: readonly number[];
  dtype: TensorDType;
  data: TensorArray;
}

const headerLength = 128;
const tagLength = 8;
const [miMatrix, miCompressed] = [14, 15];
/** Types of numbers in a file; MATLAB stores an array in the smallest that holds its values. */
const types: Record<number, TensorDType> = {
  1: 'I8',
  2: 'U8',
  3: 'I16',
  4: 'U16',
  5: 'I32',
  6: 'U32',
  7: 'F32',
  9: 'F64',
  12: 'I64',
  13: 'U64',
};
// Classes of arrays: numbers from double (6) to uint64 (15). Cells, structures, text and sparse ones lie before.
const [firstNumeric, lastNumeric] = [6, 15];
const complexFlag = 0x0800;
const maxRank = 32;
const maxName = 1024;

/**
 * Reads arrays by name; others are passed over.
 *
 * @param limit bytes that one array may take
 * @throws PtmzError `DATA_MISSING`, `IO_ERROR`, `DATA_MALFORMED`, `TRUNCATED`, `LIMIT_EXCEEDED`, `UNSUPPORTED_DTYPE`
 * @internal
 */
export async function readMat(path: string, names: readonly string[], limit: number): Promise<Map<string, MatArray>> {
  const file = await open(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  const found = new Map<string, MatArray>();
  try {
    const { size } = await file.stat();
    const read = async (at: number, length: number) => {
      if (at + length > size) throw new PtmzError('TRUNCATED', `${path}: ${size} bytes, it goes on to ${at + length}`);
      const { buffer } = await file.read(new Uint8Array(length), 0, length, at);
      return buffer;
    };
    checkHeader(await read(0, headerLength), path);
    for (let at = headerLength; at < size;) {
      const tag = new DataView((await read(at, tagLength)).buffer);
      const [type, length] = [tag.getUint32(0, true), tag.getUint32(4, true)];
      if (type !== miMatrix && type !== miCompressed) throw malformed(path, `an element of type ${type} at byte ${at}`);
      if (at + tagLength + length > size)
        throw new PtmzError('TRUNCATED', `${path}: ${size} bytes, an array goes on to ${at + tagLength + length}`);
      const compressed = type === miCompressed;
      const start = compressed ? at + tagLength : at;
      const stream = ByteStream.ofFile(path, start, at + tagLength + length - start, compressed ? 'zlib' : undefined);
      try {
        const array = await readMatrix(stream, names, limit);
        if (array && found.has(array.name)) throw malformed(path, `there are two arrays '${array.name}'`);
        if (array) found.set(array.name, array);
      } finally {
        await stream.close();
      }
      at += tagLength + length;
    }
  } finally {
    await file.close();
  }
  return found;
}

function checkHeader(bytes: Uint8Array, path: string): void {
  const text = Buffer.from(bytes).toString('latin1');
  const [version, order] = [new DataView(bytes.buffer).getUint16(124, true), text.slice(126)];
  if (text.startsWith('\x89HDF') || /MATLAB 7\.3/.test(text)) throw malformed(path, 'MATLAB 7.3, which is HDF5');
  if (order === 'MI') throw malformed(path, 'a big-endian MATLAB file');
  if (order !== 'IM' || version >> 8 !== 1) throw malformed(path, 'not a MATLAB file of version 5');
}

interface Tag {
  type: number;
  length: number;
  /** The data of a small element, which stand in its tag. */
  inside?: Uint8Array;
}

async function readTag(stream: ByteStream): Promise<Tag> {
  const bytes = await stream.take(tagLength);
  const view = new DataView(bytes.buffer);
  const small = view.getUint16(2, true);
  if (small === 0) return { type: view.getUint32(0, true), length: view.getUint32(4, true) };
  if (small > 4) throw malformed(stream.path, `${small} bytes in a small element`);
  return { type: view.getUint16(0, true), length: small, inside: bytes.subarray(4, 4 + small) };
}

/** The data of an element that is short; elements are padded to 8 bytes. */
async function readShort(stream: ByteStream, type: number, limit: number, what: string): Promise<DataView> {
  const tag = await readTag(stream);
  if (tag.type !== type || tag.length > limit) throw malformed(stream.path, `no proper ${what} of an array`);
  const bytes = tag.inside ?? (await stream.take(Math.ceil(tag.length / 8) * 8));
  const data = bytes.slice(0, tag.length);
  return new DataView(data.buffer);
}

async function readMatrix(stream: ByteStream, names: readonly string[], limit: number): Promise<MatArray | undefined> {
  const { path } = stream;
  const { type, length } = await readTag(stream);
  if (type !== miMatrix) throw malformed(path, `a compressed element of type ${type}`);
  // An empty array may be nothing but its tag.
  if (length === 0) return undefined;
  const flags = await readShort(stream, 6, 8, 'flags');
  if (flags.byteLength !== 8) throw malformed(path, 'no proper flags of an array');
  const sizes = await readShort(stream, 5, 4 * maxRank, 'sizes');
  const shape = Array.from({ length: sizes.byteLength / 4 }, (_, i) => sizes.getInt32(4 * i, true));
  const name = Buffer.from((await readShort(stream, 1, maxName, 'name')).buffer).toString('latin1');
  if (!names.includes(name)) return undefined;
  const kind = flags.getUint8(0);
  if (kind < firstNumeric || kind > lastNumeric || flags.getUint32(0, true) & complexFlag)
    throw new PtmzError('UNSUPPORTED_DTYPE', `${path}: '${name}' is no array of real numbers`);
  return readNumbers(stream, name, shape, limit);
}

async function readNumbers(stream: ByteStream, name: string, shape: number[], limit: number): Promise<MatArray> {
  const { path } = stream;
  const tag = await readTag(stream);
  const dtype = types[tag.type];
  if (dtype === undefined) throw malformed(path, `'${name}' has numbers of type ${tag.type}`);
  const bytes = shape.every((size) => size >= 0) ? byteCount(shape, tensorArrays[dtype].BYTES_PER_ELEMENT) : undefined;
  if (bytes !== tag.length)
    throw malformed(path, `'${name}' of sizes ${shape.join(' x ')} takes ${bytes} bytes, it has ${tag.length}`);
  if (bytes > limit)
    throw new PtmzError('LIMIT_EXCEEDED', `${path}: '${name}' takes ${bytes} bytes, more than ${limit}`);
  const data = new Uint8Array(bytes);
  if (tag.inside) data.set(tag.inside);
  else await stream.takeInto(data);
  return { name, shape, dtype, data: new tensorArrays[dtype](data.buffer) };
}
