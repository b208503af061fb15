/** Reader and writer of safetensors files: a length, a JSON header, the bytes of the tensors. */
import { readFileSync } from 'node:fs';
import { invalidArgument, PtmzError, type ErrorCode } from '../errors.js';
import { writeFileAtomic } from './atomicFile.js';
import {
  byteCount,
  bytesOf,
  isSize,
  tensorArrays,
  widthOf,
  type StoredTensor,
  type TensorDType,
} from './storedTensor.js';
import { parseStrictJson, type StrictJson, type StrictJsonError } from './strictJson.js';

// The limit of the reference implementation; a longer header is an attack or another format.
const maxHeader = 100_000_000;
const metadataName = '__metadata__';

interface HeaderEntry {
  name: string;
  dtype: TensorDType;
  shape: number[];
  begin: number;
  end: number;
}

/** Contents of a safetensors file. @internal */
export interface SafetensorsContents {
  /** In the order of the header. */
  tensors: Map<string, StoredTensor>;
  metadata: Map<string, string>;
}

type Fail = (what: string, byte: number, code?: ErrorCode) => PtmzError;

/**
 * A safetensors file in memory. Nothing in the header is trusted: names are unique, sizes are checked against each other
 * and against the file, tensors may neither overlap nor leave gaps.
 *
 * @param bytes the whole file
 * @param source what to call it in errors
 * @throws PtmzError `SAFETENSORS_MALFORMED`, `DUPLICATE_KEY`, `UNSUPPORTED_DTYPE`, `TRUNCATED`; they name the byte
 * @internal
 */
export function parseSafetensorsFile(bytes: Uint8Array, source: string): SafetensorsContents {
  const fail: Fail = (what, byte, code = 'SAFETENSORS_MALFORMED') =>
    new PtmzError(code, `${source}, byte ${byte}: ${what}`);
  if (bytes.length < 8) throw fail(`expected at least 8 bytes, got ${bytes.length}`, bytes.length);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(maxHeader) || length > BigInt(bytes.length - 8))
    throw fail(`the header claims ${length} bytes of ${bytes.length - 8}`, 0);
  const dataStart = 8 + Number(length);
  const { entries, metadata } = parseHeader(bytes.subarray(8, dataStart), fail);
  checkLayout(entries, dataStart, bytes.length, fail);
  const tensors = new Map<string, StoredTensor>();
  for (const { name, dtype, shape, begin, end } of entries) {
    // Not bytes.slice(): that of a Buffer is a view, and the data need not be aligned in the file.
    const copy = new Uint8Array(bytes.subarray(dataStart + begin, dataStart + end));
    tensors.set(name, { dtype, shape, data: new tensorArrays[dtype](copy.buffer) });
  }
  return { tensors, metadata };
}

/** The tensors of {@link parseSafetensorsFile}. @internal */
export function parseSafetensors(bytes: Uint8Array, source: string): Map<string, StoredTensor> {
  return parseSafetensorsFile(bytes, source).tensors;
}

function parseHeader(bytes: Uint8Array, fail: Fail): { entries: HeaderEntry[]; metadata: Map<string, string> } {
  if (bytes[0] !== '{'.charCodeAt(0)) throw fail('the header does not begin with {', 8);
  let header: StrictJson;
  try {
    header = parseStrictJson(bytes);
  } catch (error) {
    const { message, byte, duplicate } = error as StrictJsonError;
    throw fail(`the header is malformed: ${message}`, 8 + byte, duplicate ? 'DUPLICATE_KEY' : undefined);
  }
  const fields = header as Map<string, StrictJson>;
  const metadata = fields.get(metadataName) ?? new Map<string, StrictJson>();
  fields.delete(metadataName);
  if (!(metadata instanceof Map) || ![...metadata.values()].every((value) => typeof value === 'string'))
    throw fail(`${metadataName} holds something else than texts`, 8);
  const entries = [...fields].map(([name, entry]) => checkEntry(name, entry, fail));
  return { entries, metadata: metadata as Map<string, string> };
}

function checkEntry(name: string, entry: StrictJson, fail: Fail): HeaderEntry {
  const field = (key: string) => (entry instanceof Map ? entry.get(key) : undefined);
  const [dtype, shape, offsets] = [field('dtype'), field('shape'), field('data_offsets')];
  if (typeof dtype !== 'string') throw fail(`'${name}' has no dtype`, 8);
  if (!Object.hasOwn(tensorArrays, dtype)) throw fail(`'${name}' has the dtype ${dtype}`, 8, 'UNSUPPORTED_DTYPE');
  if (!Array.isArray(shape) || !shape.every(isSize)) throw fail(`'${name}' has no proper shape`, 8);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize))
    throw fail(`'${name}' has no proper data_offsets`, 8);
  const [begin, end] = offsets as [number, number];
  const expected = byteCount(shape, widthOf(dtype as TensorDType));
  if (end - begin !== expected)
    throw fail(
      `'${name}' of shape [${shape.join(',')}] needs ${expected ?? 'too many'} bytes but has ${end - begin}`,
      8,
    );
  return { name, dtype: dtype as TensorDType, shape, begin, end };
}

function checkLayout(entries: HeaderEntry[], dataStart: number, fileEnd: number, fail: Fail): void {
  let position = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== position)
      throw fail(`'${name}' begins at ${begin} but the tensor before it ends at ${position}`, dataStart + begin);
    position = end;
  }
  const expected = dataStart + position;
  if (expected > fileEnd) throw fail(`the file ends here, the tensors at ${expected}`, fileEnd, 'TRUNCATED');
  if (expected < fileEnd) throw fail(`the tensors end here, the file at ${fileEnd}`, expected);
}

/**
 * All tensors of a safetensors file, by name, in the order of the header.
 *
 * @throws PtmzError `IO_ERROR`, `SAFETENSORS_MALFORMED`, `DUPLICATE_KEY`, `UNSUPPORTED_DTYPE`, `TRUNCATED`; all name the
 * file, and the byte where that can be said
 * @example
 * ```ts
 * import { readSafetensors } from 'ptmz-native';
 * try {
 *   readSafetensors('model.safetensors').get('fc.weight')?.shape;
 * } catch (error) {
 *   console.log(error); // IO_ERROR: there is no such file here
 * }
 * ```
 */
export function readSafetensors(path: string): Map<string, StoredTensor> {
  return parseSafetensors(readBytes(path), path);
}

/**
 * The metadata of a safetensors file, by name; empty where it has none.
 *
 * @throws PtmzError as {@link readSafetensors}
 * @example
 * ```ts
 * import { rmSync } from 'node:fs';
 * import { readSafetensorsMetadata, writeSafetensors } from 'ptmz-native';
 * writeSafetensors('w.safetensors', new Map(), { format: 'pt' });
 * readSafetensorsMetadata('w.safetensors').get('format'); // 'pt'
 * rmSync('w.safetensors');
 * ```
 */
export function readSafetensorsMetadata(path: string): Map<string, string> {
  return parseSafetensorsFile(readBytes(path), path).metadata;
}

function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new PtmzError('IO_ERROR', `${path} could not be read: ${(cause as Error).message}`, { cause });
  }
}

function checkText(name: string, text: unknown): string {
  if (typeof text === 'string' && !/\p{Surrogate}/u.test(text)) return text;
  throw invalidArgument(name, 'a Unicode text', text);
}

/** The bytes of a safetensors file. @internal */
export function formatSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const header: [string, unknown][] = [];
  if (metadata) {
    for (const [key, value] of Object.entries(metadata)) checkText(`metadata '${checkText('metadata', key)}'`, value);
    header.push([metadataName, metadata]);
  }
  let position = 0;
  for (const [name, { dtype, shape, data }] of tensors) {
    if (checkText('the name of a tensor', name) === metadataName)
      throw invalidArgument('the name of a tensor', `something else than ${metadataName}`, name);
    if (!(data instanceof tensorArrays[dtype]))
      throw invalidArgument(`data of '${name}'`, tensorArrays[dtype].name, data);
    if (!shape.every(isSize) || shape.reduce((n, size) => n * size, 1) !== data.length)
      throw invalidArgument(`shape of '${name}'`, `sizes with product ${data.length}`, shape);
    header.push([name, { dtype, shape, data_offsets: [position, position + data.byteLength] }]);
    position += data.byteLength;
  }
  // Not of one object: that would sort names that look like numbers. Spaces up to a multiple of 8 keep the tensors
  // aligned for readers that map the file.
  const text = `{${header.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
  const encoded = new TextEncoder().encode(text + ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8));
  const out = new Uint8Array(8 + encoded.length + position);
  new DataView(out.buffer).setBigUint64(0, BigInt(encoded.length), true);
  out.set(encoded, 8);
  let offset = 8 + encoded.length;
  for (const tensor of tensors.values()) {
    out.set(bytesOf(tensor), offset);
    offset += tensor.data.byteLength;
  }
  return out;
}

/**
 * Writes a safetensors file, so that a reader sees all of it or nothing, and a power cut does not take it back.
 *
 * @param metadata texts by name
 * @throws PtmzError `DISK_FULL`, `NOT_WRITABLE`, `IO_ERROR`; `INVALID_ARGUMENT` where data and shape do not fit
 * @example
 * ```ts
 * import { rmSync } from 'node:fs';
 * import { writeSafetensors } from 'ptmz-native';
 * writeSafetensors('w.safetensors', new Map([['w', { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) }]]));
 * rmSync('w.safetensors');
 * ```
 */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata?: Readonly<Record<string, string>>,
): void {
  writeFileAtomic(path, formatSafetensors(tensors, metadata));
}
