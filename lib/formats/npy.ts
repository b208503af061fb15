/** Reader and writer of .npy files: NumPy's format for one array, versions 1 to 3. */
import { checkBoolean, checkObject, checkOneOf, checkString, invalidArgument, PtmzError } from '../errors.js';
import { writeFileAtomic } from './atomicFile.js';
import { InputFile } from './inputFile.js';
import {
  allocateBytes,
  arrayOf,
  byNumpyName,
  byteCount,
  bytesOf,
  isSize,
  numpyName,
  swapBytes,
  toStored,
  widthOf,
  type NamedTensor,
  type StoredTensor,
  type TensorDType,
} from './storedTensor.js';
import { copyStrided, rowMajor } from './stridedCopy.js';

const magic = Buffer.from('\x93NUMPY', 'latin1');
// NumPy itself refuses to read longer ones without being told to.
const maxHeader = 10_000;
const maxRank = 64;
const alignment = 64;

interface Header {
  dtype: TensorDType;
  bigEndian: boolean;
  fortran: boolean;
  shape: number[];
}

/**
 * Reads an array of numbers or booleans; one in Fortran order or big-endian becomes row-major and little-endian.
 *
 * @throws PtmzError `IO_ERROR`, `DATA_MALFORMED`, `TRUNCATED`; `UNSUPPORTED_DTYPE` naming complex numbers, text, records
 * and objects
 * @example
 * ```ts
 * import { rmSync } from 'node:fs';
 * import { readNpy, writeNpy } from 'ptmz-native';
 * writeNpy('x.npy', { dtype: 'F32', shape: [2, 1], data: Float32Array.of(1, 2) });
 * readNpy('x.npy').shape; // [2, 1]
 * rmSync('x.npy');
 * ```
 */
export function readNpy(path: string): StoredTensor {
  using file = new InputFile(checkString('path', path));
  const { header, dataStart } = readHeader(file);
  const { dtype, shape, bigEndian, fortran } = header;
  const bytes = byteCount(shape, widthOf(dtype));
  const left = file.size - dataStart;
  if (bytes === undefined || bytes > left)
    throw new PtmzError(
      'TRUNCATED',
      `${path}: an array ${shape.join(' x ')} of ${dtype}, the file has ${left} bytes for it`,
    );
  if (bytes < left) throw malformed(path, `${left - bytes} bytes follow the array`);
  const content = file.read(dataStart, bytes);
  if (bigEndian) swapBytes(content, widthOf(dtype));
  const data = arrayOf(dtype, content);
  if (!fortran || shape.length < 2) return { dtype, shape, data };
  const target = arrayOf(dtype, allocateBytes(bytes, path));
  copyStrided(data, target, 0, shape, columnMajor(shape));
  return { dtype, shape, data: target };
}

const malformed = (path: string, what: string) => new PtmzError('DATA_MALFORMED', `${path}: ${what}`);
const columnMajor = (shape: readonly number[]) => rowMajor(shape.toReversed()).reverse();

function readHeader(file: InputFile): { header: Header; dataStart: number } {
  const { path } = file;
  const start = file.read(0, Math.min(12, file.size));
  if (start.length < 10 || !magic.equals(start.subarray(0, 6))) throw malformed(path, 'not a .npy file');
  const version = start[6]!;
  if (version < 1 || version > 3) throw malformed(path, `version ${version} of the format; known are 1 to 3`);
  const view = new DataView(start.buffer);
  if (version > 1 && start.length < 12) throw malformed(path, 'the file ends within the header');
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const begin = version === 1 ? 10 : 12;
  if (length > maxHeader) throw new PtmzError('LIMIT_EXCEEDED', `${path}: a header of ${length} bytes`);
  const text = Buffer.from(file.read(begin, length)).toString(version < 3 ? 'latin1' : 'utf8');
  return { header: parseHeader(text, path), dataStart: begin + length };
}

/** A Python dict with three keys, in any order. */
function parseHeader(text: string, path: string): Header {
  const field = /\s*'(\w{1,20})'\s*:\s*('[^']*'|True|False|\([\d\sL,]*\)|\[)\s*(?:,|(?=\}))/y;
  const fields = new Map<string, string>();
  let at = text.startsWith('{') ? 1 : text.length;
  for (;;) {
    field.lastIndex = at;
    const match = field.exec(text);
    if (!match) break;
    fields.set(match[1]!, match[2]!);
    at = field.lastIndex;
  }
  const [descr, fortran, shape] = ['descr', 'fortran_order', 'shape'].map((key) => fields.get(key));
  if (descr === '[' || /'descr'\s*:\s*\[/.test(text)) throw unsupported(path, 'records');
  const whole = /^\s*\}\s*$/.test(text.slice(at)) && fields.size === 3;
  if (!whole || !descr?.startsWith("'") || !/^(True|False)$/.test(fortran ?? '') || !shape?.startsWith('('))
    throw malformed(path, `expected 'descr', 'fortran_order' and 'shape' in the header, it is ${printed(text)}`);
  const [, order, name] = /^'([<>|=]?)([^]*)'$/.exec(descr)!;
  const dtype = byNumpyName.get(name!);
  if (dtype === undefined) throw unsupported(path, `type ${printed(descr)}`);
  const sizes = shape
    .slice(1, -1)
    .split(',')
    .map((size) => size.trim().replace(/L$/, ''));
  if (sizes.at(-1) === '') sizes.pop();
  if (sizes.length > maxRank || !sizes.every((size) => /^\d+$/.test(size) && isSize(Number(size))))
    throw malformed(path, `the shape ${printed(shape)}`);
  return { dtype, bigEndian: order === '>', fortran: fortran === 'True', shape: sizes.map(Number) };
}

const printed = (text: string) => text.slice(0, 120).replace(/[^ -~]/g, '?');

const unsupported = (path: string, what: string) =>
  new PtmzError('UNSUPPORTED_DTYPE', `${path}: an array of ${what}; read are ${[...byNumpyName.keys()].join(', ')}`);

/** What {@link writeNpy} takes. */
export interface WriteNpyOptions {
  /** Column-major, as Fortran and MATLAB have it; default false. */
  fortranOrder?: boolean;
  /** Of the format; default 1, which every reader knows. */
  version?: 1 | 2 | 3;
}

/**
 * Writes an array, so that a reader sees all of it or nothing.
 *
 * @throws PtmzError `UNSUPPORTED_DTYPE` for BF16, which NumPy does not have (see `castFloats`); `INVALID_ARGUMENT`,
 * `DISK_FULL`, `NOT_WRITABLE`, `IO_ERROR`
 * @example
 * ```ts
 * import { rmSync } from 'node:fs';
 * import { writeNpy } from 'ptmz-native';
 * writeNpy('x.npy', { dtype: 'I32', shape: [2, 2], data: Int32Array.of(1, 2, 3, 4) }, { fortranOrder: true });
 * rmSync('x.npy');
 * ```
 */
export function writeNpy(path: string, tensor: StoredTensor | NamedTensor, options: WriteNpyOptions = {}): void {
  checkString('path', path);
  writeFileAtomic(path, formatNpy(tensor, options));
}

/** The bytes of a file. @internal */
export function formatNpy(
  tensor: StoredTensor | NamedTensor,
  options: WriteNpyOptions = {},
  name = 'tensor',
): Uint8Array {
  checkObject('options', options, ['fortranOrder', 'version']);
  const fortran = checkBoolean('fortranOrder', options.fortranOrder ?? false);
  const version = Number(checkOneOf('version', String(options.version ?? 1), ['1', '2', '3']));
  const stored = toStored(name, tensor);
  const { dtype, shape } = stored;
  const type = numpyName(dtype);
  if (type === undefined)
    throw new PtmzError('UNSUPPORTED_DTYPE', `${name}: NumPy has no type for ${dtype}`, {
      hint: 'Bring it to another type first: castFloats(tensor, "F32") loses nothing.',
    });
  if (shape.length > maxRank) throw invalidArgument(`shape of ${name}`, `at most ${maxRank} sizes`, shape);
  const descr = `${widthOf(dtype) === 1 ? '|' : '<'}${type}`;
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': (${sizes}), }`;
  const begin = version === 1 ? 10 : 12;
  const length = Math.ceil((begin + text.length + 1) / alignment) * alignment - begin;
  const content = fortran ? columns(stored, name) : bytesOf(stored);
  const out = Buffer.alloc(begin + length + content.length);
  magic.copy(out);
  out[6] = version;
  if (version === 1) out.writeUInt16LE(length, 8);
  else out.writeUInt32LE(length, 8);
  out.write(`${text.padEnd(length - 1)}\n`, begin, 'latin1');
  out.set(content, begin + length);
  return out;
}

/** Column-major is the row-major order of the transposed array. */
function columns(tensor: StoredTensor, name: string): Uint8Array {
  const { dtype, shape, data } = tensor;
  const target = arrayOf(dtype, allocateBytes(data.byteLength, name));
  copyStrided(data, target, 0, shape.toReversed(), rowMajor(shape).reverse());
  return bytesOf({ dtype, shape, data: target });
}
