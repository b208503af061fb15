/** Reader and writer of safetensors files: a length, a JSON header, the bytes of the tensors. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { invalidArgument, PtmzError } from '../errors.js';

const arrays = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

/** F16 and BF16 are held as their bits, BOOL as bytes 0 and 1. */
export type TensorDType = keyof typeof arrays;
/** The typed arrays that hold the tensors of a safetensors file. */
export type TensorArray = InstanceType<(typeof arrays)[TensorDType]>;

/** A tensor of a safetensors file. */
export interface StoredTensor {
  readonly dtype: TensorDType;
  readonly shape: readonly number[];
  readonly data: TensorArray;
}

// The limit of the reference implementation; a longer header is an attack or another format.
const maxHeader = 100_000_000;

const isSize = (n: unknown): n is number => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0;

interface HeaderEntry {
  name: string;
  dtype: TensorDType;
  shape: number[];
  begin: number;
  end: number;
}

/**
 * Tensors of a safetensors file in memory, by name. Nothing in the header is trusted: sizes are checked against each
 * other and against the file, tensors may neither overlap nor leave gaps.
 *
 * @param bytes the whole file
 * @param source what to call it in errors
 * @throws PtmzError `DATA_MALFORMED`
 * @internal
 */
export function parseSafetensors(bytes: Uint8Array, source: string): Map<string, StoredTensor> {
  const fail = (what: string) => new PtmzError('DATA_MALFORMED', `${source}: ${what}`);
  if (bytes.length < 8) throw fail(`expected at least 8 bytes, got ${bytes.length}`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(maxHeader) || length > BigInt(bytes.length - 8))
    throw fail(`the header claims ${length} bytes of ${bytes.length - 8}`);
  const dataStart = 8 + Number(length);
  const entries = parseHeader(bytes.subarray(8, dataStart), fail);
  checkLayout(entries, bytes.length - dataStart, fail);
  const tensors = new Map<string, StoredTensor>();
  for (const { name, dtype, shape, begin, end } of entries) {
    // Not bytes.slice(): that of a Buffer is a view, and the data need not be aligned in the file.
    const copy = new Uint8Array(bytes.subarray(dataStart + begin, dataStart + end));
    tensors.set(name, { dtype, shape, data: new arrays[dtype](copy.buffer) });
  }
  return tensors;
}

type Fail = (what: string) => PtmzError;

function parseHeader(bytes: Uint8Array, fail: Fail): HeaderEntry[] {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw fail(`the header is not JSON (${(error as Error).message})`);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) throw fail('the header is not an object');
  return Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => checkEntry(name, entry, fail));
}

function checkEntry(name: string, entry: unknown, fail: Fail): HeaderEntry {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<string, unknown>;
  if (typeof dtype !== 'string' || !Object.hasOwn(arrays, dtype))
    throw fail(`'${name}' has the unknown dtype ${dtype}`);
  if (!Array.isArray(shape) || !shape.every(isSize)) throw fail(`'${name}' has no proper shape`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize))
    throw fail(`'${name}' has no proper data_offsets`);
  const [begin, end] = offsets as [number, number];
  const width = arrays[dtype as TensorDType].BYTES_PER_ELEMENT;
  const expected = shape.reduce((n: number, size) => n * size, width);
  if (!isSize(expected) || end - begin !== expected)
    throw fail(`'${name}' of shape [${shape.join(',')}] needs ${expected} bytes but has ${end - begin}`);
  return { name, dtype: dtype as TensorDType, shape, begin, end };
}

function checkLayout(entries: HeaderEntry[], available: number, fail: Fail): void {
  let position = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== position) throw fail(`'${name}' begins at ${begin} but the tensor before it ends at ${position}`);
    position = end;
  }
  if (position !== available) throw fail(`the tensors end at ${position} but the file at ${available}`);
}

/**
 * All tensors of a safetensors file, by name, in the order of the header.
 *
 * @throws PtmzError `IO_ERROR`, `DATA_MALFORMED`; both name the file
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
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new PtmzError('IO_ERROR', `${path} could not be read: ${(cause as Error).message}`, { cause });
  }
  return parseSafetensors(bytes, path);
}

/** The bytes of a safetensors file. @internal */
export function formatSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const header: [string, unknown][] = metadata ? [['__metadata__', metadata]] : [];
  let position = 0;
  for (const [name, { dtype, shape, data }] of tensors) {
    if (!(data instanceof arrays[dtype])) throw invalidArgument(`data of '${name}'`, arrays[dtype].name, data);
    if (shape.reduce((n, size) => n * size, 1) !== data.length)
      throw invalidArgument(`shape of '${name}'`, `sizes with product ${data.length}`, shape);
    header.push([name, { dtype, shape, data_offsets: [position, position + data.byteLength] }]);
    position += data.byteLength;
  }
  // Spaces up to a multiple of 8 keep the tensors aligned for readers that map the file.
  const text = JSON.stringify(Object.fromEntries(header));
  const encoded = new TextEncoder().encode(text + ' '.repeat((8 - (Buffer.byteLength(text) % 8)) % 8));
  const out = new Uint8Array(8 + encoded.length + position);
  new DataView(out.buffer).setBigUint64(0, BigInt(encoded.length), true);
  out.set(encoded, 8);
  let offset = 8 + encoded.length;
  for (const { data } of tensors.values()) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return out;
}

/**
 * Writes a safetensors file: to a temporary name, flushed, then renamed, so that a reader sees all of it or nothing.
 *
 * @throws PtmzError `IO_ERROR`; `INVALID_ARGUMENT` where data and shape do not fit
 * @example
 * ```ts
 * import { rmSync } from 'node:fs';
 * import { writeSafetensors } from 'ptmz-native';
 * writeSafetensors('w.safetensors', new Map([['w', { dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) }]]));
 * rmSync('w.safetensors');
 * ```
 */
export function writeSafetensors(path: string, tensors: ReadonlyMap<string, StoredTensor>): void {
  const bytes = formatSafetensors(tensors);
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = openSync(temporary, 'w');
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new PtmzError('IO_ERROR', `${path} could not be written: ${(cause as Error).message}`, { cause });
  }
}
