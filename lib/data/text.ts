/** Text as tokens in memory, cut into windows: what a language model is trained on. */
import { createHash } from 'node:crypto';
import { checkInteger, checkNumber, checkObject, checkString, invalidArgument } from '../errors.js';
import { resident, type DataSet } from './dataset.js';
import { checkWindows, countWindows, WindowSplit } from './windowSplit.js';

/** What {@link text} takes. */
export interface TextOptions {
  /** Token numbers in the order of the text. */
  tokens: ArrayLike<number>;
  /** Length of a window: inputs are tokens i to i + block - 1, targets those one further. */
  block: number;
  /** Number of tokens in the vocabulary; one more than the largest token where left out. */
  vocab?: number;
  /** Tokens from one window to the next; default `block`, so that every token is predicted once in an epoch. */
  stride?: number;
  /** To evaluate on: tokens, or the part of `tokens` at their end, in (0, 1). Default: nothing. */
  test?: ArrayLike<number> | number;
  name?: string;
}

/** Windows of a text in memory. */
export class TextSplit extends WindowSplit {
  /** Use {@link text}. @internal */
  constructor(
    readonly tokens: Int32Array,
    block: number,
    stride: number,
    vocab: number,
  ) {
    super(countWindows(tokens.length, block, stride), block, stride, vocab, { samples: resident('int32', tokens) });
  }

  /** @internal */
  digest(): string {
    const { shape, stride, classes } = this;
    return createHash('sha256').update(JSON.stringify({ shape, stride, classes })).update(this.tokens).digest('hex');
  }
}

/** The first so many windows, or all of them; `name` is that of the option. @internal */
export function firstWindows(name: string, split: TextSplit, count: number | undefined): TextSplit {
  if (count === undefined) return split;
  const { tokens, block, stride, classes } = split;
  checkInteger(name, count, 1, split.count);
  const part = new TextSplit(tokens.subarray(0, (count - 1) * stride + block + 1), block, stride, classes);
  split.dispose();
  return part;
}

function checkTokens(name: string, tokens: ArrayLike<number>, block: number, vocab: number): Int32Array {
  if (typeof tokens !== 'object' || tokens === null || typeof tokens.length !== 'number')
    throw invalidArgument(name, 'token numbers', tokens);
  if (tokens.length <= block) throw invalidArgument(name, `more than block = ${block} tokens`, tokens.length);
  for (let i = 0; i < tokens.length; i++) checkInteger(`${name}[${i}]`, tokens[i], 0, vocab - 1);
  return Int32Array.from(tokens);
}

/**
 * A text as a data set for language models. One sample is a window of `block` tokens; the tokens are copied.
 *
 * @throws PtmzError `INVALID_ARGUMENT` naming what does not fit
 * @example
 * ```ts
 * import { text } from 'ptmz-native';
 * const characters = [...new Set('to be or not to be')];
 * const tokens = [...'to be or not to be'].map((c) => characters.indexOf(c));
 * const data = text({ tokens, block: 4, vocab: characters.length });
 * data.train.count; // 4 windows
 * ```
 */
export function text(options: TextOptions): DataSet<TextSplit> {
  checkObject('options of text', options, ['tokens', 'block', 'vocab', 'stride', 'test', 'name']);
  const { block, stride } = checkWindows(options);
  if (options.vocab !== undefined) checkInteger('vocab', options.vocab, 1, 2 ** 31 - 1);
  const name = checkString('name', options.name ?? 'text');
  let all = checkTokens('tokens', options.tokens, block, options.vocab ?? 2 ** 31 - 1);
  let test: Int32Array | undefined;
  if (typeof options.test === 'number') {
    const part = checkNumber('test', options.test, Number.MIN_VALUE, 1);
    const cut = all.length - Math.floor(part * all.length);
    if (cut <= block || all.length - cut <= block)
      throw invalidArgument('test', `a part that leaves more than block = ${block} tokens on both sides`, part);
    [all, test] = [all.slice(0, cut), all.slice(cut)];
  } else if (options.test !== undefined) {
    test = checkTokens('test', options.test, block, options.vocab ?? 2 ** 31 - 1);
  }
  const largest = [all, test ?? []].reduce(
    (max, part) => (part as Int32Array).reduce((a, b) => Math.max(a, b), max),
    0,
  );
  const vocab = options.vocab ?? largest + 1;
  const train = new TextSplit(all, block, stride, vocab);
  return { name, classes: vocab, train, ...(test && { test: new TextSplit(test, block, block, vocab) }) };
}
