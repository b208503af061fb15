/** DirectoryLock: one writer at a time in a directory; the lock of a process that has died is taken over. */
import { closeSync, fstatSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PtmzError } from '../errors.js';
import { attempt, disk, withTemporary, writeDurably } from './atomicFile.js';
import { spaceFor } from './diskSpace.js';
import { describeOwner, heartbeat, heldHere, mayLive, newOwner, parseOwner, type LockOwner } from './lockOwner.js';

const fileName = 'ptmz.lock';

/** What was found in a lock file. */
interface Found {
  owner: LockOwner | undefined;
  /** The last sign of life, by the clock of the file system. */
  seen: number;
}

/**
 * Locks a directory for this thread until it is disposed of. The lock is a file that says whose it is; nothing needs to
 * be cleaned up after a process that was killed.
 *
 * The file appears with its content, by a link, which fails where there is one. That of a dead owner is removed by who
 * holds a second lock, `ptmz.lock.takeover`, and has looked again: between a look and a removal without it, another
 * process could have put its own lock there. The second one is taken over in the same way.
 *
 * @throws PtmzError `BUSY` naming the process that is at work there; `NOT_WRITABLE`, `DISK_FULL`, `IO_ERROR`
 * @internal
 */
export function lockDirectory(directory: string): DirectoryLock {
  const path = join(directory, fileName);
  const lock = acquire(path);
  if (lock instanceof DirectoryLock) return lock;
  throw busy(path, lock.owner);
}

/** A lock that is held. @internal */
export class DirectoryLock implements Disposable {
  readonly #timer: NodeJS.Timeout;

  constructor(
    readonly path: string,
    readonly owner: LockOwner,
  ) {
    heldHere.add(owner.id);
    this.#timer = setInterval(() => void showLife(path, owner), heartbeat).unref();
  }

  /**
   * To be called before something is written: who slept too long to show life may have lost the lock. One that somebody
   * has removed by hand is put back.
   *
   * @throws PtmzError `BUSY` naming the process that has the lock now
   */
  check(): void {
    const found = look(this.path);
    if (found?.owner?.id === this.owner.id) return;
    if (found || create(this.path, this.owner) !== undefined) throw busy(this.path, found?.owner);
  }

  /** Lets others in. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    heldHere.delete(this.owner.id);
    // Where this fails the work is done all the same, and the lock ends with the process.
    attemptQuietly(() => look(this.path)?.owner?.id === this.owner.id && rmSync(this.path));
  }
}

const tries = 50;
/** Milliseconds between them: a takeover is a handful of calls to the disk. */
const pause = 20;

/** The lock, or else what there is instead. */
function acquire(path: string): DirectoryLock | Found {
  const owner = newOwner();
  let found: Found | undefined;
  for (let left = tries; left > 0; left--) {
    const now = create(path, owner);
    if (now === undefined) return new DirectoryLock(path, owner);
    found = look(path);
    if (found === undefined) continue;
    if (isHeld(found, now)) return found;
    found = takeAway(path, now);
    if (found) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
  }
  return found ?? { owner: undefined, seen: 0 };
}

// A clock that was put back leaves signs of life from the future: they count as old ones do.
const isHeld = ({ owner, seen }: Found, now: number) => mayLive(owner, Math.abs(now - seen));

/** Removes the lock of a dead owner, or else says who is about to. */
function takeAway(path: string, now: number): Found | undefined {
  const guard = acquire(`${path}.takeover`);
  if (!(guard instanceof DirectoryLock)) return guard;
  using _ = guard;
  const found = look(path);
  if (found && !isHeld(found, now)) attempt('remove', path, () => disk.remove(path));
  return undefined;
}

/** Makes a lock file; where there is one already, the time by the clock of its file system. */
function create(path: string, owner: LockOwner): number | undefined {
  const bytes = Buffer.from(JSON.stringify(owner));
  let now: number | undefined;
  withTemporary(path, (temporary) => {
    writeDurably(temporary, [bytes], spaceFor(path, [bytes.length]));
    if (!publish(temporary, path, bytes)) now = statSync(temporary).mtimeMs;
    attemptQuietly(() => rmSync(temporary));
  });
  return now;
}

/** What systems say of a file system without links, such as FAT. */
const withoutLinks = ['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EISDIR'];

/** Gives a written file its name; false where there is a file of that name. */
function publish(temporary: string, path: string, bytes: Uint8Array): boolean {
  try {
    attempt('link', path, () => disk.link(temporary, path));
    return true;
  } catch (error) {
    // NFS says so too where its first answer was lost and the request came again.
    if (codeOf(error) === 'EEXIST') return statSync(temporary).nlink > 1;
    if (withoutLinks.includes(codeOf(error))) return writeNew(path, bytes);
    throw error;
  }
}

/** The same in two calls: for a moment the file is empty, which counts as the lock of somebody unknown. */
function writeNew(path: string, bytes: Uint8Array): boolean {
  try {
    writeDurably(path, [bytes], spaceFor(path, [bytes.length]));
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    attemptQuietly(() => rmSync(path, { force: true }));
    throw error;
  }
}

const codeOf = (error: unknown) => ((error as PtmzError).cause as NodeJS.ErrnoException | undefined)?.code ?? '';

function look(path: string): Found | undefined {
  try {
    return attempt('read', path, () => {
      // One file for both: the name may get another one in between.
      const file = openSync(path, 'r');
      try {
        return { owner: parseOwner(readFileSync(file, 'utf8')), seen: fstatSync(file).mtimeMs };
      } finally {
        closeSync(file);
      }
    });
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Writes what is there already: the time is then that of the file system, whose clock those who look go by. */
async function showLife(path: string, { id }: LockOwner): Promise<void> {
  try {
    const file = await open(path, 'r+');
    try {
      const text = await file.readFile('utf8');
      if (parseOwner(text)?.id === id) await file.write(text, 0);
    } finally {
      await file.close();
    }
  } catch {
    // The next one may succeed, and `check` says whether the lock is still held.
  }
}

function busy(path: string, owner: LockOwner | undefined): PtmzError {
  return new PtmzError('BUSY', `${dirname(path)} is in use by ${describeOwner(owner)}`, {
    hint: `Wait until it ends, or choose another directory. If there is no such process, remove ${path}.`,
  });
}

function attemptQuietly(work: () => unknown): void {
  try {
    work();
  } catch {
    // Said where it is called: nothing depends on it.
  }
}
