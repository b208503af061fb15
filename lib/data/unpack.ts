/** Unpacking of downloaded archives: only files that are asked for, under a folder that appears when all are there. */
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { PtmzError } from '../errors.js';
import { attempt, disk, OutputFile, removeAtomic, syncDirectory } from '../formats/atomicFile.js';
import { ZipArchive } from '../formats/zipArchive.js';
import { ByteStream } from './byteStream.js';
import type { Download } from './downloads.js';
import { malformed } from './files.js';

/** @internal */
export interface UnpackOptions {
  signal?: AbortSignal;
  /** Called with the part done, from 0 to 1. */
  onProgress?: (fraction: number) => void;
}

/**
 * Unpacks an archive to `dir/folder`. What was there under that name is replaced.
 *
 * @throws PtmzError `DATA_MALFORMED` where a file is missing or the archive is damaged, `NOT_WRITABLE`, `DISK_FULL`,
 * `IO_ERROR`; with an aborted signal it rejects with `signal.reason`, and nothing is left
 * @internal
 */
export async function unpack(
  path: string,
  dir: string,
  { kind, folder, files }: NonNullable<Download['archive']>,
  options: UnpackOptions = {},
): Promise<void> {
  const target = join(dir, folder);
  const temporary = join(dir, `.${folder}.unpacking`);
  attempt('remove', temporary, () => disk.remove(temporary));
  try {
    attempt('makeDirectory', temporary, () => disk.makeDirectory(temporary));
    if (kind === 'zip') await unpackZip(path, temporary, folder, options);
    else await unpackTar(path, temporary, folder, new Set(Object.keys(files)), options);
    const missing = Object.keys(files).find((name) => !existsSync(join(temporary, name)));
    if (missing !== undefined) throw malformed(path, `${folder}/${missing} is not in the archive`);
    if (existsSync(target)) removeAtomic(target);
    attempt('rename', target, () => disk.rename(temporary, target));
  } finally {
    attempt('remove', temporary, () => disk.remove(temporary));
  }
  syncDirectory(dir);
}

const blockLength = 512;
const copyLength = 2 ** 20;
const maxEntries = 10_000;

interface TarEntry {
  name: string;
  size: number;
  file: boolean;
}

/** POSIX ustar; extended headers have names of their own, and are passed over like anything else. */
async function unpackTar(
  path: string,
  target: string,
  folder: string,
  wanted: ReadonlySet<string>,
  { signal, onProgress }: UnpackOptions,
): Promise<void> {
  const left = new Set(wanted);
  const stream = ByteStream.ofFile(path, 0, statSync(path).size, 'gzip');
  try {
    for (let count = 0; left.size > 0; count++) {
      if (count > maxEntries) throw new PtmzError('LIMIT_EXCEEDED', `${path}: more than ${maxEntries} entries`);
      signal?.throwIfAborted();
      const entry = parseHeader(await stream.take(blockLength), path);
      if (!entry) break;
      const name = entry.name.startsWith(`${folder}/`) ? entry.name.slice(folder.length + 1) : '';
      const padding = (blockLength - (entry.size % blockLength)) % blockLength;
      if (!entry.file || !left.delete(name)) {
        await stream.skip(entry.size + padding);
        continue;
      }
      await copy(stream, join(target, name), entry.size, signal);
      await stream.skip(padding);
      onProgress?.(1 - left.size / wanted.size);
    }
  } finally {
    await stream.close();
  }
}

/** Undefined at the end, which is a block of zeros. */
function parseHeader(block: Uint8Array, path: string): TarEntry | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  const text = (from: number, length: number) =>
    Buffer.from(block.subarray(from, from + length))
      .toString('latin1')
      .split('\0')[0]!;
  const octal = (from: number, length: number) => {
    const digits = text(from, length).trim();
    return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : NaN;
  };
  // The sum of all bytes, those of the sum itself counted as spaces.
  const sum = block.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0);
  const size = octal(124, 12);
  if (octal(148, 8) !== sum || !Number.isSafeInteger(size)) throw malformed(path, 'a damaged header in the archive');
  const prefix = text(257, 5) === 'ustar' ? text(345, 155) : '';
  const name = `${prefix === '' ? '' : `${prefix}/`}${text(0, 100)}`.replace(/^\.\//, '');
  return { name, size, file: block[156] === 0 || block[156] === 0x30 };
}

async function copy(stream: ByteStream, path: string, size: number, signal?: AbortSignal): Promise<void> {
  const file = new OutputFile(path, 'wx');
  try {
    for (let left = size; left > 0; left -= copyLength) {
      signal?.throwIfAborted();
      file.write(await stream.take(Math.min(left, copyLength)));
    }
    file.commit();
  } finally {
    file.abandon();
  }
}

// So many files are not flushed one by one: that would take minutes, and the archive is still there.
async function unpackZip(
  path: string,
  target: string,
  folder: string,
  { signal, onProgress }: UnpackOptions,
): Promise<void> {
  using archive = new ZipArchive(path);
  const made = new Set<string>();
  const { names } = archive;
  for (const [index, entry] of names.entries()) {
    if (index % 64 === 0) {
      await setImmediate();
      signal?.throwIfAborted();
      onProgress?.(index / names.length);
    }
    if (!entry.startsWith(`${folder}/`) || entry.endsWith('/')) continue;
    const name = entry.slice(folder.length + 1);
    if (!/^(?:\w[\w.-]*\/)*\w[\w.-]*$/.test(name)) throw malformed(path, `an entry '${entry.slice(0, 80)}'`);
    const place = join(target, name);
    const parent = dirname(place);
    if (!made.has(parent)) attempt('makeDirectory', parent, () => mkdirSync(parent, { recursive: true }));
    made.add(parent);
    const file = new OutputFile(place, 'wx');
    try {
      file.write(archive.read(entry));
    } finally {
      file.abandon();
    }
  }
}
