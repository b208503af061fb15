/** ByteStream: bytes that come in pieces, taken in the lengths that a format says. */
import { createReadStream } from 'node:fs';
import { pipeline, Readable } from 'node:stream';
import { createGunzip, createInflate } from 'node:zlib';
import { PtmzError } from '../errors.js';
import { fileError, malformed } from './files.js';

/** @internal */
export class ByteStream {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);
  #taken = 0;

  /** @param path what to call the source in errors */
  constructor(
    readonly path: string,
    pieces: AsyncIterable<Uint8Array>,
  ) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** Part of a file, inflated on the way. */
  static ofFile(path: string, start: number, length: number, compression?: 'zlib' | 'gzip'): ByteStream {
    if (length === 0) return new ByteStream(path, Readable.from([]));
    const file = createReadStream(path, { start, end: start + length - 1, highWaterMark: 2 ** 18 });
    if (compression === undefined) return new ByteStream(path, file);
    const inflater = compression === 'zlib' ? createInflate : createGunzip;
    // Where one ends, by an error or because it is closed, so does the other; the error comes from the last one.
    const inflate = pipeline(file, inflater({ chunkSize: 2 ** 18 }), () => undefined);
    return new ByteStream(path, inflate);
  }

  /** Bytes taken so far. */
  get position(): number {
    return this.#taken;
  }

  /** The next `length` bytes. */
  async take(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    await this.takeInto(bytes);
    return bytes;
  }

  /** Fills an array with the next bytes. Throws `TRUNCATED`. */
  async takeInto(target: Uint8Array): Promise<void> {
    for (let done = 0; done < target.length;) {
      if (this.#piece.length === 0 && !(await this.#next()))
        throw new PtmzError('TRUNCATED', `${this.path}: the data end ${target.length - done} bytes too early`);
      const part = this.#piece.subarray(0, target.length - done);
      target.set(part, done);
      this.#piece = this.#piece.subarray(part.length);
      this.#taken += part.length;
      done += part.length;
    }
  }

  /** Passes over bytes. */
  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; left -= 2 ** 16) await this.take(Math.min(left, 2 ** 16));
  }

  /** Gives the file back before its end. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }

  async #next(): Promise<boolean> {
    try {
      const { value, done } = await this.#pieces.next();
      if (done) return false;
      this.#piece = value;
      return true;
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      // zlib's own codes begin so; others are those of the system.
      if (code?.startsWith('Z_')) throw malformed(this.path, `cannot be inflated: ${(cause as Error).message}`, cause);
      throw fileError(this.path, cause);
    }
  }
}
