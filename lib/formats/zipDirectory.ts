/**
 * The directory of a zip archive, read without trust: every offset and length is checked against the file, and the two
 * headers of an entry against each other. What other readers let pass is refused: entries that share bytes, names that
 * stand twice, and entries that claim to inflate to much more than they take.
 */
import { PtmzError, type ErrorCode } from '../errors.js';
import type { InputFile } from './inputFile.js';

/** Ways of compression. */
export const [stored, deflated] = [0, 8];

/** @internal */
export interface ZipEntry {
  name: string;
  method: number;
  /** 0 stands for "not computed": PyTorch writes that on request. */
  crc: number;
  /** Of the header before the bytes. */
  header: number;
  /** Of the bytes. */
  start: number;
  compressed: number;
  size: number;
}

// TinyImageNet, the largest archive that is read, has 120,000.
const maxEntries = 200_000;
// Weights barely shrink. Small entries may: a deflated page of zeros is no attack.
const maxRatio = 200;
const freeSize = 2 ** 20;

const endLength = 22;
const endSignature = 0x06054b50;
const maxComment = 65_535;
const locatorLength = 20;
const locatorSignature = 0x07064b50;
const end64Length = 56;
const end64Signature = 0x06064b50;
const centralLength = 46;
const centralSignature = 0x02014b50;
const localLength = 30;
const localSignature = 0x04034b50;
/** Stands where the true number is one of 64 bits. */
const elsewhere = 0xffffffff;
const wideSizes = 1;
const encrypted = 0x41;

/** A name of a file, for errors. */
export const printed = (name: string): string => `'${name.slice(0, 80).replace(/[^ -~]/g, '?')}'`;

/** The error for an archive. */
export function zipError(path: string, what: string, code: ErrorCode = 'DATA_MALFORMED', cause?: unknown): PtmzError {
  return new PtmzError(code, `${path}: ${what}`, { cause });
}

/**
 * All entries by name.
 *
 * @throws PtmzError `DATA_MALFORMED`, `TRUNCATED`, `LIMIT_EXCEEDED`, `IO_ERROR`
 * @internal
 */
export function readZipDirectory(file: InputFile): Map<string, ZipEntry> {
  const { path } = file;
  const { count, offset, length } = findDirectory(file);
  if (count > maxEntries) throw zipError(path, `${count} entries; known files have fewer`, 'LIMIT_EXCEEDED');
  const bytes = Buffer.from(file.read(offset, length).buffer);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + centralLength > length || bytes.readUInt32LE(at) !== centralSignature)
      throw zipError(path, `the directory says ${count} entries and has ${i}`);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((k) => bytes.readUInt16LE(at + k));
    const end = at + centralLength + nameLength! + extraLength! + commentLength!;
    if (end > length) throw zipError(path, 'the directory ends within an entry');
    const entry = readEntry(file, bytes.subarray(at, end), nameLength!, extraLength!);
    if (entries.has(entry.name)) throw zipError(path, `the entry ${printed(entry.name)} occurs twice`);
    entries.set(entry.name, entry);
    at = end;
  }
  if (at !== length) throw zipError(path, `the directory of ${length} bytes ends at ${at}`);
  checkRanges(file, [...entries.values()], offset);
  return entries;
}

interface Directory {
  count: number;
  offset: number;
  length: number;
}

/** It is found from the end of the file. */
function findDirectory(file: InputFile): Directory {
  const { path, size } = file;
  const tail = Math.min(size, endLength + maxComment);
  const bytes = Buffer.from(file.read(size - tail, tail).buffer);
  let at = tail - endLength;
  const isEnd = () => bytes.readUInt32LE(at) === endSignature && at + endLength + bytes.readUInt16LE(at + 20) === tail;
  while (at >= 0 && !isEnd()) at--;
  if (at < 0) throw zipError(path, 'the archive has no end; is the file cut?');
  const [disk, count, length, offset] = [
    bytes.readUInt16LE(at + 4),
    bytes.readUInt16LE(at + 10),
    bytes.readUInt32LE(at + 12),
    bytes.readUInt32LE(at + 16),
  ];
  if (disk !== 0) throw zipError(path, 'a part of an archive in several files');
  const end = size - tail + at;
  const wide = at >= locatorLength && bytes.readUInt32LE(at - locatorLength) === locatorSignature;
  const found = wide ? wideDirectory(file, bytes.readBigUInt64LE(at - locatorLength + 8)) : { count, offset, length };
  if (!(found.offset + found.length <= end)) throw zipError(path, 'the directory lies beyond its end');
  return found;
}

function wideDirectory(file: InputFile, place: bigint): Directory {
  const bytes = Buffer.from(file.read(Number(place), end64Length).buffer);
  if (bytes.readUInt32LE(0) !== end64Signature) throw zipError(file.path, 'the 64-bit end of the archive is none');
  const [count, length, offset] = [32, 40, 48].map((k) => Number(bytes.readBigUInt64LE(k)));
  return { count: count!, length: length!, offset: offset! };
}

function readEntry(file: InputFile, bytes: Buffer, nameLength: number, extraLength: number): ZipEntry {
  const rawName = bytes.subarray(centralLength, centralLength + nameLength);
  const name = rawName.toString('utf8');
  const wrong = (what: string, code?: ErrorCode) => zipError(file.path, `the entry ${printed(name)} ${what}`, code);
  const [flags, method] = [bytes.readUInt16LE(8), bytes.readUInt16LE(10)];
  if (flags & encrypted) throw wrong('is encrypted');
  if (method !== stored && method !== deflated) throw wrong(`has the unknown compression method ${method}`);
  const extra = bytes.subarray(centralLength + nameLength, centralLength + nameLength + extraLength);
  const narrow = [24, 20, 42].map((k) => bytes.readUInt32LE(k));
  const [size, compressed, header] = widen(narrow, extra, wrong) as [number, number, number];
  // Checked before the comparisons below, which rounding beyond 2^53 would make meaningless.
  if (![size, compressed, header].every(Number.isSafeInteger)) throw wrong('has sizes that no file has');
  if (method === stored && size !== compressed) throw wrong(`is stored, but ${compressed} bytes stand for ${size}`);
  if (size > freeSize && size > maxRatio * compressed)
    throw wrong(`inflates from ${compressed} to ${size} bytes`, 'LIMIT_EXCEEDED');
  const start = checkLocal(file, header, rawName, method, wrong);
  return { name, method, crc: bytes.readUInt32LE(16), header, start, compressed, size };
}

/** Numbers of 64 bits stand in an extra field, in this order, for those that are `elsewhere`. */
function widen(narrow: number[], extra: Buffer, wrong: (what: string) => PtmzError): number[] {
  if (!narrow.includes(elsewhere)) return narrow;
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== wideSizes) continue;
    const field = extra.subarray(at + 4, at + 4 + extra.readUInt16LE(at + 2));
    let next = 0;
    return narrow.map((value) => {
      if (value !== elsewhere) return value;
      if (next + 8 > field.length) throw wrong('lacks a size of 64 bits');
      next += 8;
      return Number(field.readBigUInt64LE(next - 8));
    });
  }
  throw wrong('lacks its sizes of 64 bits');
}

/** The header before the bytes must tell the same name and method; gives the start of the bytes. */
function checkLocal(
  file: InputFile,
  header: number,
  name: Buffer,
  method: number,
  wrong: (what: string) => PtmzError,
): number {
  const bytes = Buffer.from(file.read(header, localLength).buffer);
  if (bytes.readUInt32LE(0) !== localSignature) throw wrong('has no header of its own');
  const nameLength = bytes.readUInt16LE(26);
  const same = bytes.readUInt16LE(8) === method && nameLength === name.length;
  if (!same || !name.equals(file.read(header + localLength, nameLength)))
    throw wrong('has another name or method in its own header');
  return header + localLength + nameLength + bytes.readUInt16LE(28);
}

function checkRanges(file: InputFile, entries: ZipEntry[], directory: number): void {
  let [end, before] = [0, ''];
  for (const { name, header, start, compressed } of entries.sort((a, b) => a.header - b.header)) {
    if (header < end) throw zipError(file.path, `the entries ${printed(before)} and ${printed(name)} share bytes`);
    end = start + compressed;
    before = name;
  }
  if (end > directory) throw zipError(file.path, `the entry ${printed(before)} ends at ${end}, in the directory`);
}
