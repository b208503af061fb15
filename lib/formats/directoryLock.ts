/** Directory locks: one writer at a time in a directory; the lock of a process that has died is taken over. */
import { linkSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { PtmzError } from '../errors.js';
import { disk, withTemporary, writeDurably } from './atomicFile.js';
import { spaceFor } from './diskSpace.js';
import { isAlive, startTime } from './processes.js';

/** The contents of a lock file. */
interface Owner {
  host: string;
  process: number;
  /** Tells a process from a later one of the same number; null where the system does not say. */
  started: string | null;
  thread: number;
  /** Tells the locks of one thread apart. */
  number: number;
}

const fileName = 'ptmz.lock';
/** Milliseconds between the signs of life that other machines see, and how long they wait for one. */
const heartbeat = 60_000;
const patience = 5 * heartbeat;

/** Contents of the locks that this thread holds. */
const held = new Set<string>();
let count = 0;

/**
 * Locks a directory for this process until it is disposed of. The lock is a file with the owner's process number and
 * start time; nothing needs to be cleaned up after a process that was killed.
 *
 * @throws PtmzError `BUSY` naming the process that is at work there; `NOT_WRITABLE`, `DISK_FULL`, `IO_ERROR`
 * @internal
 */
export function lockDirectory(directory: string): Disposable {
  const path = join(directory, fileName);
  const started = startTime(process.pid);
  const owner: Owner = { host: hostname(), process: process.pid, started, thread: threadId, number: count++ };
  const text = JSON.stringify(owner);
  while (!create(path, text)) {
    const found = read(path);
    if (found === undefined) continue;
    if (isHeld(path, found)) throw busy(directory, path, found);
    takeAway(path, found);
  }
  held.add(text);
  const timer = setInterval(() => showLife(path), heartbeat).unref();
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      held.delete(text);
      // Where this fails the work is done all the same, and the lock is seen to be nobody's.
      attemptQuietly(() => read(path) === text && rmSync(path));
    },
  };
}

/** False where there is a lock already. */
function create(path: string, text: string): boolean {
  const bytes = Buffer.from(text);
  try {
    writeDurably(path, bytes, spaceFor(path, [bytes.length]));
    return true;
  } catch (error) {
    if (((error as PtmzError).cause as NodeJS.ErrnoException | undefined)?.code === 'EEXIST') return false;
    attemptQuietly(() => rmSync(path, { force: true }));
    throw error;
  }
}

function read(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'utf8');
    if (parse(text)) return text;
    // Its owner is about to write it, or died before.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw new PtmzError('IO_ERROR', `${path}: read failed (${message})`, { cause });
  }
}

function parse(text: string): Owner | undefined {
  try {
    return JSON.parse(text) as Owner;
  } catch {
    return undefined;
  }
}

function isHeld(path: string, text: string): boolean {
  const owner = parse(text);
  if (!owner) return false;
  if (owner.host !== hostname()) {
    const seen = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    return Date.now() - seen < patience;
  }
  if (owner.process === process.pid && owner.thread === threadId) return held.has(text);
  return isAlive(owner.process) && startTime(owner.process) === owner.started;
}

function busy(directory: string, path: string, text: string): PtmzError {
  const { host, process: id } = parse(text)!;
  const where = host === hostname() ? '' : ` on ${host}`;
  const who = id === process.pid && where === '' ? `this process, ${id}` : `process ${id}${where}`;
  return new PtmzError('BUSY', `${directory} is in use by ${who}`, {
    hint: `Wait until it ends, or choose another directory. If there is no such process, remove ${path}.`,
  });
}

/** Removes the lock of a dead process; whoever comes first does it. */
function takeAway(path: string, text: string): void {
  withTemporary(path, (temporary) => {
    try {
      disk.rename(path, temporary);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw new PtmzError('IO_ERROR', `${path}: rename failed (${(cause as Error).message})`, { cause });
    }
    // Another process has taken it over since it was read: it gets its lock back.
    if (readFileSync(temporary, 'utf8') !== text) attemptQuietly(() => linkSync(temporary, path));
    rmSync(temporary);
  });
}

function showLife(path: string): void {
  attemptQuietly(() => utimesSync(path, new Date(), new Date()));
}

function attemptQuietly(work: () => unknown): void {
  try {
    work();
  } catch {
    // Said where it is called: nothing depends on it.
  }
}
