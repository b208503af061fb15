/** InputFile: a file that is read at places, never beyond its end, with errors that name it. */
import { closeSync, existsSync, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs';
import { PtmzError } from '../errors.js';
import { allocateBytes } from './storedTensor.js';

// Reads of more than 2^31 - 1 bytes are cut by the system.
const largestRead = 2 ** 30;

/** What is at a path; undefined where nothing can be, as below a file. @internal */
export const statOf = (path: string): Stats | undefined => (existsSync(path) ? statSync(path) : undefined);

/** @internal */
export class InputFile implements Disposable {
  readonly #file: number;
  readonly size: number;

  /** @throws PtmzError `IO_ERROR` where there is no such file */
  constructor(readonly path: string) {
    this.#file = this.#attempt(() => openSync(path, 'r'));
    const stat = this.#attempt(() => fstatSync(this.#file));
    if (stat.isFile()) {
      this.size = stat.size;
      return;
    }
    closeSync(this.#file);
    throw new PtmzError('IO_ERROR', `${path} could not be read: it is not a file`);
  }

  /** @throws PtmzError `TRUNCATED` where the file ends before them, `IO_ERROR` */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    if (!(offset >= 0 && length >= 0 && offset + length <= this.size)) throw this.#cut(offset, length);
    const bytes = allocateBytes(length, this.path);
    for (let done = 0; done < length;) {
      const part = Math.min(length - done, largestRead);
      const count = this.#attempt(() => readSync(this.#file, bytes, done, part, offset + done));
      if (count === 0) throw this.#cut(offset, length);
      done += count;
    }
    return bytes;
  }

  #cut(offset: number, length: number): PtmzError {
    return new PtmzError(
      'TRUNCATED',
      `${this.path}: bytes ${offset} to ${offset + length} of ${this.size} are missing`,
    );
  }

  #attempt<T>(work: () => T): T {
    try {
      return work();
    } catch (cause) {
      throw new PtmzError('IO_ERROR', `${this.path} could not be read: ${(cause as Error).message}`, { cause });
    }
  }

  dispose(): void {
    closeSync(this.#file);
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
