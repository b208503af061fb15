/** Checkpoints of one run in a directory: their names, which of them counts, and how many are kept. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PtmzError } from '../errors.js';
import {
  attempt,
  disk,
  makeWritable,
  removeAtomic,
  syncDirectory,
  writeDirectoryAtomic,
} from '../formats/atomicFile.js';
import { lockDirectory, type DirectoryLock } from '../formats/directoryLock.js';
import { formatCheckpoint, readCheckpoint, runDigest, type Checkpoint } from './checkpoint.js';
import type { Run } from './run.js';

const pattern = /^epoch-\d{6,}-step-(\d{9,})$/;

const nameOf = (run: Run) =>
  `epoch-${String(run.history.length).padStart(6, '0')}-step-${String(run.step).padStart(9, '0')}`;

/** Paths of the checkpoints in a directory, oldest first. @internal */
export function listCheckpoints(directory: string): string[] {
  const names = attempt('list', directory, () => disk.list(directory)).filter((name) => pattern.test(name));
  return names.sort().map((name) => join(directory, name));
}

const isDamage = (error: unknown): error is PtmzError =>
  error instanceof PtmzError && error.code === 'CHECKSUM_MISMATCH';

/**
 * The newest checkpoint that is whole, and the errors of newer ones that are not.
 *
 * @param directory of a run, or one of its checkpoints
 * @throws PtmzError `DATA_MISSING` where there is none, `CHECKSUM_MISMATCH` where all are damaged, `IO_ERROR`
 * @internal
 */
export function newestCheckpoint(directory: string): { checkpoint: Checkpoint; damaged: PtmzError[] } {
  if (existsSync(join(directory, 'checkpoint.json'))) return { checkpoint: readCheckpoint(directory), damaged: [] };
  const paths = existsSync(directory) ? listCheckpoints(directory) : [];
  if (paths.length === 0)
    throw new PtmzError('DATA_MISSING', `${directory}: expected checkpoints of a run, found none`);
  const damaged: PtmzError[] = [];
  for (const path of paths.reverse()) {
    try {
      return { checkpoint: readCheckpoint(path), damaged };
    } catch (error) {
      if (!isDamage(error)) throw error;
      damaged.push(error);
    }
  }
  throw damaged[0]!;
}

/** Where and how a run is saved while it trains; locked until it is disposed of. */
export class CheckpointDirectory implements Disposable {
  readonly #lock: DirectoryLock;

  /**
   * Makes the directory and checks that the run may be saved there.
   *
   * @param keep checkpoints that stay, at least 1
   * @throws PtmzError `NOT_WRITABLE`, `DISK_FULL`, `IO_ERROR`, `BUSY` where another run is saved there at the moment, and
   * `CHECKPOINT_MISMATCH` where it holds checkpoints of another run or later ones of this run
   */
  constructor(
    readonly path: string,
    readonly run: Run,
    readonly keep: number,
  ) {
    makeWritable(path);
    this.#lock = lockDirectory(path);
    try {
      this.#check();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Lets others in. */
  [Symbol.dispose](): void {
    this.#lock[Symbol.dispose]();
  }

  #check(): void {
    const { path, run } = this;
    if (listCheckpoints(path).length === 0) return;
    let newest: Checkpoint;
    try {
      newest = newestCheckpoint(path).checkpoint;
    } catch (error) {
      if (isDamage(error)) return;
      throw error;
    }
    const { manifest } = newest;
    const hint = 'Choose an empty directory, or go on from there: loadRun(directory), then run.train().';
    if (manifest.run !== runDigest(run))
      throw new PtmzError('CHECKPOINT_MISMATCH', `${path} holds checkpoints of another run`, { hint });
    if (manifest.step > run.step)
      throw new PtmzError(
        'CHECKPOINT_MISMATCH',
        `${path} holds step ${manifest.step} of this run, which is at step ${run.step}`,
        { hint },
      );
  }

  /**
   * Saves the run; on return the checkpoint survives a power cut, and older ones beyond `keep` are gone.
   *
   * @returns the checkpoint's path
   * @throws PtmzError as the constructor
   */
  save(): string {
    this.#lock.check();
    const target = join(this.path, nameOf(this.run));
    if (existsSync(target) && this.#isWhole(target)) syncDirectory(this.path);
    else writeDirectoryAtomic(target, formatCheckpoint(this.run));
    const older = listCheckpoints(this.path).filter((path) => path < target);
    older.slice(0, Math.max(0, older.length - this.keep + 1)).forEach(removeAtomic);
    return target;
  }

  // Equal names of equal runs hold equal numbers.
  #isWhole(path: string): boolean {
    try {
      readCheckpoint(path);
      return true;
    } catch (error) {
      if (isDamage(error)) return false;
      throw error;
    }
  }
}
