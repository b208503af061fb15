/** Text files as GPT-2 tokens: train.bin, val.bin and meta.json, which `tokens` and nanoGPT read. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { checkArray, checkNumber, checkObject, checkString, invalidArgument, PtmzError } from '../errors.js';
import { attempt, disk, makeWritable, OutputFile, syncDirectory, writeFileAtomic } from '../formats/atomicFile.js';
import { loadPeer, type ImportPackage } from '../peer.js';
import { entryKind, malformed } from './files.js';
import { MersenneTwister } from './mersenneTwister.js';
import { documentsOf, piecesOf, type Document } from './textDocuments.js';

/** What {@link tokenise} takes. */
export interface TokeniseOptions {
  /**
   * Part of the text for `val.bin`. Of many documents, each one goes there with this probability, 0.0005 where left out,
   * by the seed 2357; of a single one, the end does, 0.1 of it where left out.
   */
  validation?: number;
  signal?: AbortSignal;
  /** Called after every document, and on the way through long ones. */
  onProgress?: (progress: TokeniseProgress) => void;
}

/** Where {@link tokenise} is. */
export interface TokeniseProgress {
  /** Bytes of the files that are done. */
  bytes: number;
  totalBytes: number;
  tokens: number;
}

/** What {@link tokenise} wrote. */
export interface TokenisedText {
  documents: number;
  vocabulary: number;
  /** Number of tokens. */
  train: number;
  validation: number;
}

const SEED = 2357;
const MANY = 0.0005;
const SINGLE = 0.1;
const FILES = ['train.bin', 'val.bin'] as const;

/** The few functions of gpt-tokenizer that are used; the package itself may not be there. */
interface Tokeniser {
  encode(text: string, options: { disallowedSpecial: Set<string> }): number[];
  vocabularySize: number;
}

/** @internal */
export const loadTokeniser = (load?: ImportPackage): Promise<Tokeniser> =>
  loadPeer<Tokeniser>('gpt-tokenizer', 'tokenise', load);

/**
 * Writes the GPT-2 tokens of text files to a folder, every document followed by the token that ends a text. Documents
 * are the parts of a text between `<|endoftext|>`, or, of files named `.jsonl`, the field `text` of every line.
 *
 * @throws PtmzError `MISSING_PEER` where gpt-tokenizer is not installed; `DATA_MISSING`, `DATA_MALFORMED` naming the
 * line; `LIMIT_EXCEEDED` for one text of more than 2^29 bytes; `NOT_WRITABLE`, `DISK_FULL`, `IO_ERROR`; with an aborted
 * signal it rejects with `signal.reason`, and nothing is written
 * @example
 * ```ts no-run
 * import { tokenise, tokens } from 'ptmz-native';
 * await tokenise(['shakespeare.txt'], 'data/shakespeare');
 * using text = await tokens('data/shakespeare');
 * ```
 */
export async function tokenise(
  paths: readonly string[],
  dir: string,
  options: TokeniseOptions = {},
): Promise<TokenisedText> {
  const total = await checkInput(paths, dir, options);
  options.signal?.throwIfAborted();
  const tokeniser = await loadTokeniser();
  makeWritable(dir);
  const writer = new TokenWriter(dir, tokeniser);
  try {
    await writeAll(writer, paths, total, options);
    return writer.finish();
  } finally {
    writer.abandon();
  }
}

async function checkInput(paths: readonly string[], dir: string, options: TokeniseOptions): Promise<number> {
  checkArray('paths', paths);
  if (paths.length === 0) throw invalidArgument('paths', 'at least one file', paths);
  paths.forEach((path, i) => checkString(`paths[${i}]`, path));
  checkString('dir', dir);
  checkObject('options', options, ['validation', 'signal', 'onProgress']);
  if (options.validation !== undefined) checkNumber('validation', options.validation, 0, 1);
  if (options.onProgress !== undefined && typeof options.onProgress !== 'function')
    throw invalidArgument('onProgress', 'a function', options.onProgress);
  let total = 0;
  for (const path of paths) {
    if ((await entryKind(path)) !== 'file') throw new PtmzError('DATA_MISSING', `${path}: no such file`);
    total += statSync(path).size;
  }
  return total;
}

async function writeAll(
  writer: TokenWriter,
  paths: readonly string[],
  totalBytes: number,
  { validation, signal, onProgress }: TokeniseOptions,
): Promise<void> {
  const random = new MersenneTwister(SEED);
  const limit = (validation ?? MANY) * 2 ** 32;
  const after = (begin: number) => async (bytes: number) => {
    onProgress?.({ bytes: Math.min(begin + bytes, totalBytes), totalBytes, tokens: writer.tokens });
    await setImmediate();
    signal?.throwIfAborted();
  };
  const put = ({ text, begin }: Document) => writer.add(text, random.uint32() < limit ? 1 : 0, after(begin));
  // The first document is held back until there is a second one: a single one is divided.
  let first: Document | undefined;
  let offset = 0;
  for (const path of paths) {
    for await (const document of documentsOf(path, offset)) {
      if (first === undefined && writer.documents === 0) {
        first = document;
        continue;
      }
      if (first !== undefined) await put(first);
      first = undefined;
      await put(document);
    }
    offset += statSync(path).size;
  }
  if (first !== undefined) await writer.addDivided(first.text, validation ?? SINGLE, after(first.begin));
  if (writer.documents === 0) throw malformed(paths[0]!, 'there is no text');
}

/** Called after every piece, with the bytes of the document that are done. */
type AfterPiece = (bytes: number) => Promise<void>;

/** Two files that take their names together, once both are on the disk. */
class TokenWriter {
  documents = 0;
  readonly #outputs: OutputFile[];
  readonly #counts = [0, 0];

  constructor(
    readonly dir: string,
    readonly tokeniser: Tokeniser,
  ) {
    this.#outputs = FILES.map((name) => new OutputFile(join(dir, `${name}.part`), 'w'));
  }

  get tokens(): number {
    return this.#counts[0]! + this.#counts[1]!;
  }

  /** A document, for training (0) or for validation (1). */
  async add(text: string, split: number, after: AfterPiece): Promise<void> {
    await this.#write(text, split, after);
    this.documents++;
  }

  /** A single document: its end is for validation. */
  async addDivided(text: string, part: number, after: AfterPiece): Promise<void> {
    let at = Math.round(text.length * (1 - part));
    // Not between the two halves of a character.
    if (/[\udc00-\udfff]/.test(text[at] ?? '')) at++;
    if (at > 0) await this.#write(text.slice(0, at), 0, after);
    if (at < text.length) await this.#write(text.slice(at), 1, after);
    this.documents++;
  }

  async #write(text: string, split: number, after: AfterPiece): Promise<void> {
    let bytes = 0;
    for (const piece of piecesOf(text)) {
      this.#put(this.tokeniser.encode(piece, { disallowedSpecial: new Set() }), split);
      bytes += Buffer.byteLength(piece);
      await after(bytes);
    }
    this.#put([this.tokeniser.vocabularySize - 1], split);
  }

  #put(values: readonly number[], split: number): void {
    this.#outputs[split]!.write(new Uint8Array(Uint16Array.from(values).buffer));
    this.#counts[split]! += values.length;
  }

  finish(): TokenisedText {
    const [train, validation] = this.#counts as [number, number];
    const result = { documents: this.documents, vocabulary: this.tokeniser.vocabularySize, train, validation };
    if (train === 0) throw new PtmzError('INVALID_ARGUMENT', 'validation leaves no text for training');
    for (const output of this.#outputs) output.commit();
    for (const [i, name] of FILES.entries()) {
      const path = join(this.dir, name);
      if (this.#counts[i]! > 0) attempt('rename', path, () => disk.rename(`${path}.part`, path));
      // What stands there is of another text.
      else attempt('remove', path, () => disk.remove(path));
    }
    writeFileAtomic(join(this.dir, 'meta.json'), Buffer.from(`${JSON.stringify({ tokenizer: 'gpt2', ...result })}\n`));
    syncDirectory(this.dir);
    return result;
  }

  /** Leaves nothing half-written behind; after {@link finish} there is nothing. */
  abandon(): void {
    for (const output of this.#outputs) {
      output.abandon();
      attempt('remove', output.path, () => disk.remove(output.path));
    }
  }
}
