/** ZipArchive: a zip file whose entries are read into memory one by one, never to disk, checksums verified. */
import { crc32, inflateRawSync } from 'node:zlib';
import type { ErrorCode } from '../errors.js';
import { InputFile } from './inputFile.js';
import { printed, readZipDirectory, stored, zipError, type ZipEntry } from './zipDirectory.js';

/** @internal */
export class ZipArchive implements Disposable {
  readonly #file: InputFile;
  readonly #entries: ReadonlyMap<string, ZipEntry>;

  /** @throws PtmzError `DATA_MALFORMED`, `TRUNCATED`, `LIMIT_EXCEEDED`, `IO_ERROR` */
  constructor(path: string) {
    this.#file = new InputFile(path);
    try {
      this.#entries = readZipDirectory(this.#file);
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  get names(): string[] {
    return [...this.#entries.keys()];
  }

  /** Inflated bytes of an entry; undefined where there is none. */
  sizeOf(name: string): number | undefined {
    return this.#entries.get(name)?.size;
  }

  /** @throws PtmzError `DATA_MALFORMED`, `CHECKSUM_MISMATCH`, `LIMIT_EXCEEDED`, `IO_ERROR` */
  read(name: string): Uint8Array<ArrayBuffer> {
    const entry = this.#entries.get(name);
    if (!entry) throw zipError(this.#file.path, `there is no entry ${printed(name)}`);
    const bytes = this.#inflated(entry, this.#file.read(entry.start, entry.compressed));
    if (entry.crc !== 0 && crc32(bytes) !== entry.crc)
      throw zipError(this.#file.path, `the checksum of ${printed(name)} does not fit its bytes`, 'CHECKSUM_MISMATCH');
    return bytes;
  }

  #inflated({ name, method, size }: ZipEntry, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (method === stored) return bytes;
    const wrong = (what: string, code?: ErrorCode, cause?: unknown) =>
      zipError(this.#file.path, `${printed(name)} ${what}`, code, cause);
    let inflated;
    try {
      // One byte more than is announced is enough to see that there are more.
      inflated = inflateRawSync(bytes, { maxOutputLength: size + 1 });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
        throw wrong(`inflates to more than the ${size} bytes that it announces`, 'LIMIT_EXCEEDED', cause);
      throw wrong(`cannot be inflated: ${(cause as Error).message}`, undefined, cause);
    }
    if (inflated.length !== size) throw wrong(`inflates to ${inflated.length} bytes, it announces ${size}`);
    return new Uint8Array(inflated);
  }

  dispose(): void {
    this.#file.dispose();
  }
  [Symbol.dispose](): void {
    this.dispose();
  }
}
