/** Files and folders that appear whole or not at all, and that a power cut cannot take back. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { PtmzError } from '../errors.js';
import { DiskFullError, freeBytes, spaceFor, type DiskSpace } from './diskSpace.js';
import { isAlive } from './processes.js';

/** Makes a directory and what it lies in; the first one made, if any. */
function makeDirectory(path: string): string | undefined {
  try {
    return mkdirSync(path, { recursive: true });
  } catch (error) {
    // Node says ENOENT where it may not make one; without `recursive` the system's own answer comes.
    let missing = path;
    while (!existsSync(dirname(missing))) missing = dirname(missing);
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') mkdirSync(missing);
    throw error;
  }
}

/** The calls that can fail; tests put failing ones in their place. @internal */
export const disk = {
  open: (path: string, flags: string) => openSync(path, flags),
  write: (file: number, bytes: Uint8Array) => writeSync(file, bytes),
  fsync: fsyncSync,
  close: closeSync,
  link: linkSync,
  rename: renameSync,
  remove: (path: string) => rmSync(path, { recursive: true, force: true }),
  makeDirectory,
  list: (path: string) => readdirSync(path),
  read: (path: string) => readFileSync(path),
};

const full = ['ENOSPC', 'EDQUOT'];
const refused = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EISDIR', 'EEXIST'];

/** Does one call; what it throws becomes a PtmzError that names the call and the path. @internal */
export function attempt<T>(call: keyof typeof disk, path: string, work: () => T, space?: DiskSpace): T {
  try {
    return work();
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException;
    if (full.includes(code)) {
      const { needed, free } = space ?? { needed: undefined, free: freeBytes(path) };
      const bytes = [needed !== undefined && `${needed} bytes needed`, free !== undefined && `${free} free`];
      const sizes = bytes.filter(Boolean).join(', ');
      const what = `${path}: no space left in ${call} (${code}${sizes && `: ${sizes}`})`;
      throw new DiskFullError(what, needed, free, cause);
    }
    if (refused.includes(code))
      throw new PtmzError('NOT_WRITABLE', `${path}: ${call} was refused (${code}: ${message})`, { cause });
    throw new PtmzError('IO_ERROR', `${path}: ${call} failed (${code ? `${code}: ` : ''}${message})`, { cause });
  }
}

// Larger writes than 2^31 - 1 bytes are cut by the system.
const largestWrite = 2 ** 26;

/** A file that is written piece by piece; a piece that cannot be written is a typed error. @internal */
export class OutputFile {
  readonly #file: number;
  #open = true;

  /** @param flags `wx` for a new file, `w` to begin anew, `a` to go on at the end */
  constructor(
    readonly path: string,
    flags: 'wx' | 'w' | 'a',
    readonly space?: DiskSpace,
  ) {
    this.#file = attempt('open', path, () => disk.open(path, flags), space);
  }

  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const part = bytes.subarray(done, done + largestWrite);
      const written = attempt('write', this.path, () => disk.write(this.#file, part), this.space);
      if (written <= 0)
        throw new PtmzError('IO_ERROR', `${this.path}: write stopped at ${done} of ${bytes.length} bytes`);
      done += written;
    }
  }

  /** Waits until the disk has all of it, and closes. */
  commit(): void {
    // An error here means that the pages may be gone: it is never tried again as if nothing had been.
    attempt('fsync', this.path, () => disk.fsync(this.#file), this.space);
    this.#open = false;
    attempt('close', this.path, () => disk.close(this.#file), this.space);
  }

  /** Closes after an error, which says what happened; does nothing after {@link commit}. */
  abandon(): void {
    if (!this.#open) return;
    this.#open = false;
    try {
      disk.close(this.#file);
    } catch {
      // The first error says what happened.
    }
  }
}

/** Writes a new file, fails where there is one, and waits until the disk has it. @internal */
export function writeDurably(path: string, pieces: readonly Uint8Array[], space: DiskSpace): void {
  const file = new OutputFile(path, 'wx', space);
  try {
    for (const piece of pieces) file.write(piece);
    file.commit();
  } finally {
    file.abandon();
  }
}

/** Waits until the disk has the names in a directory. @internal */
export function syncDirectory(path: string): void {
  // Windows has no such call; there a rename is in the file system's journal.
  if (process.platform === 'win32') return;
  const directory = attempt('open', path, () => disk.open(path, 'r'));
  try {
    attempt('fsync', path, () => disk.fsync(directory));
  } finally {
    attempt('close', path, () => disk.close(directory));
  }
}

const temporaryName = /^\..+\.(?<host>[^/]*)-(?<process>\d+)-\d+\.tmp$/;
const active = new Set<string>();
let count = 0;

/** A new name beside `path`; {@link removeOrphans} knows from it who made it. */
function temporaryFor(path: string): string {
  const name = `.${basename(path)}.${hostname()}-${process.pid}-${count++}.tmp`;
  active.add(name);
  return join(dirname(path), name);
}

/** Calls `work` with a new name beside `path`; where it throws, nothing stays under that name. @internal */
export function withTemporary(path: string, work: (temporary: string) => void): void {
  const temporary = temporaryFor(path);
  try {
    work(temporary);
  } catch (error) {
    try {
      disk.remove(temporary);
    } catch {
      // The first error says what happened; removeOrphans() tries again at the next start.
    }
    throw error;
  } finally {
    active.delete(basename(temporary));
  }
}

/**
 * Writes a file: to a temporary name beside it, flushed, renamed, and the directory flushed. A reader sees the old file
 * or the new one, whole; once this returns, a power cut does not bring the old one back.
 *
 * @param bytes in one piece or in several
 * @throws PtmzError `DISK_FULL` with needed and free bytes, `NOT_WRITABLE`, `IO_ERROR`; they name path and call, and
 * the old file is untouched
 * @internal
 */
export function writeFileAtomic(path: string, bytes: Uint8Array | readonly Uint8Array[]): void {
  const pieces = bytes instanceof Uint8Array ? [bytes] : bytes;
  const space = spaceFor(path, [pieces.reduce((sum, { length }) => sum + length, 0)]);
  withTemporary(path, (temporary) => {
    writeDurably(temporary, pieces, space);
    attempt('rename', path, () => disk.rename(temporary, path), space);
  });
  syncDirectory(dirname(path));
}

/**
 * Writes a directory of files that appears whole under its name. One that is already there is replaced: for a moment
 * neither is, so the caller does this only to a damaged one.
 *
 * @throws PtmzError as {@link writeFileAtomic}
 * @internal
 */
export function writeDirectoryAtomic(path: string, files: ReadonlyMap<string, Uint8Array>): void {
  const sizes = Array.from(files.values(), ({ length }) => length);
  const space = spaceFor(path, sizes);
  withTemporary(path, (temporary) => {
    attempt('makeDirectory', temporary, () => disk.makeDirectory(temporary), space);
    for (const [name, bytes] of files) writeDurably(join(temporary, name), [bytes], space);
    syncDirectory(temporary);
    if (existsSync(path)) removeAtomic(path);
    attempt('rename', path, () => disk.rename(temporary, path), space);
  });
  syncDirectory(dirname(path));
}

/** Removes a file or directory that a reader sees whole until it is gone. @internal */
export function removeAtomic(path: string): void {
  withTemporary(path, (temporary) => {
    attempt('rename', path, () => disk.rename(path, temporary));
    attempt('remove', path, () => disk.remove(temporary));
  });
}

const day = 24 * 3600 * 1000;

function isOrphan(directory: string, name: string): boolean {
  const match = temporaryName.exec(name);
  if (!match || active.has(name)) return false;
  const { host, process: id } = match.groups!;
  if (host === hostname()) return Number(id) === process.pid || !isAlive(Number(id));
  // Another machine on a shared file system: nobody writes one file for a day.
  return Date.now() - (statSync(join(directory, name), { throwIfNoEntry: false })?.mtimeMs ?? Infinity) > day;
}

/** Removes temporaries that writers left behind when they were killed; other files are left alone. @internal */
export function removeOrphans(directory: string): void {
  for (const name of attempt('list', directory, () => disk.list(directory))) {
    if (!isOrphan(directory, name)) continue;
    const path = join(directory, name);
    attempt('remove', path, () => disk.remove(path));
  }
}

/**
 * Makes a directory, where it is missing, and proves with a small file that it can be written to.
 *
 * @throws PtmzError `NOT_WRITABLE`, `DISK_FULL`, `IO_ERROR`
 * @internal
 */
export function makeWritable(directory: string): void {
  const target = resolve(directory);
  const first = attempt('makeDirectory', target, () => disk.makeDirectory(target));
  // A new directory is lost in a power cut until the one that holds it is flushed.
  if (first !== undefined) {
    for (let at = target; at.length >= first.length; at = dirname(at)) syncDirectory(dirname(at));
  }
  removeOrphans(directory);
  withTemporary(join(directory, 'probe'), (temporary) => {
    writeDurably(temporary, [Uint8Array.of(0)], spaceFor(directory, [1]));
    attempt('remove', temporary, () => disk.remove(temporary));
  });
}
