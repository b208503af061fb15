/**
 * Text as tokens: the files train.bin and val.bin of nanoGPT, 16-bit numbers without a header. They may be larger than
 * memory and are read in windows; the system keeps in memory what is used.
 */
import { createHash } from 'node:crypto';
import { basename, join, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { checkArray, checkInteger, checkObject, checkString, invalidArgument, PtmzError } from '../errors.js';
import { InputFile } from '../formats/inputFile.js';
import { parsePickle } from '../formats/pickle.js';
import { plainGlobals } from '../formats/pickleValue.js';
import type { DataSet } from './dataset.js';
import { entryKind, malformed, readWhole } from './files.js';
import { checkWindows, countWindows, WindowSplit } from './windowSplit.js';

/** What {@link tokens} takes. */
export interface TokensOptions {
  /** Number of different tokens; that of `meta.json` or `meta.pkl` in the folder where left out, or else GPT-2's 50,257. */
  vocabulary?: number;
}

/** Inputs and what is to be predicted from them, one row after the other. */
export interface TokenBatch {
  /** (B,T) */
  inputs: Int32Array;
  /** (B,T): the inputs, one token further. */
  targets: Int32Array;
}

/** What {@link TokenSplit.windows} takes. */
export interface WindowOptions {
  /** Length of a window: inputs are tokens i to i + block - 1, targets those one further. */
  block: number;
  /** Tokens from one window to the next; default `block`, so that every token is predicted once in an epoch. */
  stride?: number;
  /** The first so many windows; default: all. */
  count?: number | undefined;
}

/** Text for training, and for testing where there is a `val.bin`. */
export interface TokenDataSet extends Disposable {
  readonly name: string;
  readonly vocabulary: number;
  readonly train: TokenSplit;
  readonly test?: TokenSplit;
  /**
   * Both files as windows, for {@link trainGPT2}; those of the test do not overlap. The tokens stay in their files.
   *
   * @param counts the first so many windows; default: all
   */
  windows(
    options: Omit<WindowOptions, 'count'>,
    counts?: { train?: number | undefined; test?: number | undefined },
  ): DataSet<TokenWindows>;
}

/** Windows of a file of tokens. A training reads each one as it needs it. */
export class TokenWindows extends WindowSplit {
  /** Use {@link TokenSplit.windows}. @internal */
  constructor(
    readonly source: TokenSplit,
    count: number,
    block: number,
    stride: number,
  ) {
    const { path, vocabulary } = source;
    super(count, block, stride, vocabulary, { samples: null, file: { path: resolve(path), vocabulary } });
  }

  /** @internal */
  digest(): string {
    const { shape, stride, classes } = this;
    const text = JSON.stringify({ shape, stride, classes, file: this.source.digest() });
    return createHash('sha256').update(text).digest('hex');
  }
}

const GPT2 = 50_257;
const WIDTH = 2;
const LARGEST = 65_536;
const HASH_BLOCK = 2 ** 24;
const MAX_META = 2 ** 22;

/** A file of tokens. */
export class TokenSplit implements Disposable {
  /** Number of tokens. */
  readonly count: number;
  #file: InputFile | undefined;
  #digest: string | undefined;

  /** Use {@link tokens}. @internal */
  constructor(
    readonly path: string,
    readonly vocabulary: number,
  ) {
    this.#file = new InputFile(path);
    this.count = this.#file.size / WIDTH;
    const wrong =
      this.count === 0 ? 'there are no tokens' : Number.isInteger(this.count) ? undefined : 'a token of one byte';
    if (wrong === undefined) return;
    this.dispose();
    throw malformed(path, wrong);
  }

  get #live(): InputFile {
    if (this.#file) return this.#file;
    throw new PtmzError('DISPOSED', 'these tokens have been disposed of');
  }

  /**
   * Tokens one after the other.
   *
   * @throws PtmzError `INVALID_ARGUMENT`, `DATA_MALFORMED` for a token beyond the vocabulary, `IO_ERROR`, `DISPOSED`
   */
  window(offset: number, length: number): Uint16Array {
    checkInteger('length', length, 1, this.count);
    checkInteger('offset', offset, 0, this.count - length);
    const bytes = this.#live.read(WIDTH * offset, WIDTH * length);
    const values = new Uint16Array(bytes.buffer);
    if (this.vocabulary < LARGEST) {
      const odd = values.findIndex((token) => token >= this.vocabulary);
      if (odd >= 0)
        throw malformed(this.path, `token ${values[odd]} at ${offset + odd}, the vocabulary has ${this.vocabulary}`);
    }
    return values;
  }

  /** Where a window of `block` inputs and their targets can begin: from 0 to one less than this. */
  starts(block: number): number {
    checkInteger('block', block, 1, this.count - 1);
    return this.count - block;
  }

  /**
   * Rows of `block` tokens, each with the tokens that follow them.
   *
   * @param offsets where the rows begin, below `starts(block)`
   * @throws PtmzError as {@link TokenSplit.window}
   */
  batch(offsets: readonly number[], block: number): TokenBatch {
    checkArray('offsets', offsets);
    const last = this.starts(block) - 1;
    offsets.forEach((offset, row) => checkInteger(`offsets[${row}]`, offset, 0, last));
    const inputs = new Int32Array(offsets.length * block);
    const targets = new Int32Array(offsets.length * block);
    offsets.forEach((offset, row) => {
      const values = this.window(offset, block + 1);
      inputs.set(values.subarray(0, block), row * block);
      targets.set(values.subarray(1), row * block);
    });
    return { inputs, targets };
  }

  /**
   * The file as windows, for {@link trainGPT2}.
   *
   * @throws PtmzError `INVALID_ARGUMENT`, also where there are fewer tokens than one window needs
   * @example
   * ```ts
   * import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
   * import { tokens, trainGPT2 } from 'ptmz-native';
   * const dir = mkdtempSync('text-');
   * writeFileSync(`${dir}/train.bin`, Uint16Array.from({ length: 400 }, (_, i) => (i * i) % 7));
   * using files = await tokens(dir, { vocabulary: 7 });
   * const data = { name: 'squares', classes: 7, train: files.train.windows({ block: 8 }) }; // or files.windows({ block: 8 })
   * using run = await trainGPT2({ dim: 8, heads: 1, depth: 1, data, batchSize: 8, epochs: 1, seeds: [0] });
   * rmSync(dir, { recursive: true });
   * ```
   */
  windows(options: WindowOptions): TokenWindows {
    checkObject('options of windows', options, ['block', 'stride', 'count']);
    const { block, stride } = checkWindows(options);
    if (this.count <= block)
      throw invalidArgument('block', `less than the ${this.count} tokens of ${this.path}`, block);
    const all = countWindows(this.count, block, stride);
    return new TokenWindows(this, checkInteger('count', options.count ?? all, 1, all), block, stride);
  }

  /** SHA-256 of the tokens, by which a resumed training knows its text; computed once. */
  digest(): string {
    for (const _ of this.#hash());
    return this.#digest!;
  }

  /**
   * Computes {@link TokenSplit.digest} piece by piece, which of a large file takes a while.
   *
   * @throws PtmzError `IO_ERROR`, `DISPOSED`; with an aborted signal it rejects with `signal.reason`
   */
  async hash(options: { signal?: AbortSignal; onProgress?: (tokens: number) => void } = {}): Promise<string> {
    checkObject('options of hash', options, ['signal', 'onProgress']);
    for (const tokens of this.#hash()) {
      options.signal?.throwIfAborted();
      options.onProgress?.(tokens);
      await setImmediate();
    }
    return this.#digest!;
  }

  /** Yields how many tokens are hashed. */
  *#hash(): Generator<number> {
    if (this.#digest !== undefined) return;
    const file = this.#live;
    const hash = createHash('sha256');
    for (let at = 0; at < file.size; at += HASH_BLOCK) {
      const length = Math.min(HASH_BLOCK, file.size - at);
      hash.update(file.read(at, length));
      yield (at + length) / WIDTH;
    }
    this.#digest = hash.digest('hex');
  }

  /** Closes the file. */
  dispose(): void {
    this.#file?.dispose();
    this.#file = undefined;
  }
  /** {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Opens a folder with `train.bin` and, for testing, `val.bin`, as nanoGPT's scripts or `ptmz data tokenize` write them.
 *
 * @throws PtmzError `DATA_MISSING`, `DATA_MALFORMED`, `IO_ERROR`, `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
 * import { tokens } from 'ptmz-native';
 * const dir = mkdtempSync('text-');
 * writeFileSync(`${dir}/train.bin`, Uint16Array.of(5, 6, 7, 8, 9));
 * using text = await tokens(dir, { vocabulary: 10 });
 * text.train.batch([0, 2], 2); // { inputs: [5, 6, 7, 8], targets: [6, 7, 8, 9] }
 * rmSync(dir, { recursive: true });
 * ```
 */
export async function tokens(dir: string, options: TokensOptions = {}): Promise<TokenDataSet> {
  checkString('dir', dir);
  checkObject('options', options, ['vocabulary']);
  if (options.vocabulary !== undefined) checkInteger('vocabulary', options.vocabulary, 1, LARGEST);
  const [trainPath, testPath] = ['train.bin', 'val.bin'].map((name) => join(dir, name)) as [string, string];
  if ((await entryKind(trainPath)) !== 'file') {
    const hint = 'ptmz data tokenize makes it of text files.';
    throw new PtmzError('DATA_MISSING', `${trainPath}: no such file`, { hint });
  }
  const vocabulary = options.vocabulary ?? (await storedVocabulary(dir)) ?? GPT2;
  const train = new TokenSplit(trainPath, vocabulary);
  try {
    const test = (await entryKind(testPath)) === 'file' ? new TokenSplit(testPath, vocabulary) : undefined;
    const name = basename(resolve(dir));
    return {
      ...{ name, vocabulary, train },
      ...(test && { test }),
      windows(sizes, counts = {}) {
        const windows = {
          train: train.windows({ ...sizes, count: counts.train }),
          ...(test && { test: test.windows({ block: sizes.block, count: counts.test }) }),
        };
        return { name, classes: vocabulary, ...windows };
      },
      [Symbol.dispose]() {
        train.dispose();
        test?.dispose();
      },
    };
  } catch (error) {
    train.dispose();
    throw error;
  }
}

/** `meta.json` of this package, or `meta.pkl` of nanoGPT's texts of characters. */
async function storedVocabulary(dir: string): Promise<number | undefined> {
  const [json, pickle] = ['meta.json', 'meta.pkl'].map((name) => join(dir, name)) as [string, string];
  if ((await entryKind(json)) === 'file') return checkStored(parseMeta(await readWhole(json, MAX_META), json), json);
  if ((await entryKind(pickle)) !== 'file') return undefined;
  const { value } = parsePickle(await readWhole(pickle, MAX_META), pickle, { globals: plainGlobals });
  return checkStored(value instanceof Map ? value.get('vocab_size') : undefined, pickle);
}

function parseMeta(bytes: Uint8Array, path: string): unknown {
  try {
    return (JSON.parse(Buffer.from(bytes).toString('utf8')) as { vocabulary?: unknown } | null)?.vocabulary;
  } catch (cause) {
    throw malformed(path, `not JSON: ${(cause as Error).message}`, cause);
  }
}

function checkStored(value: unknown, path: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= LARGEST) return value;
  throw malformed(path, `expected the size of a vocabulary from 1 to ${LARGEST}, there is ${String(value)}`);
}
