/** Text as characters: every different one is a token, so that small language models need no vocabulary of words. */
import { checkString } from '../errors.js';
import type { DataSet } from './dataset.js';
import { text, type TextOptions, type TextSplit } from './text.js';

/** What {@link characters} takes beside the text. */
export type CharactersOptions = Omit<TextOptions, 'tokens' | 'vocab' | 'test'> & {
  /** The part of the text at its end that is kept for evaluation, in (0, 1). Default: nothing. */
  test?: number;
};

/** A text as characters; token `i` stands for `alphabet[i]`. */
export interface CharacterSet extends DataSet<TextSplit> {
  readonly alphabet: readonly string[];
}

/**
 * A text as a data set for language models, one token per character (code point), numbered in the order of Unicode.
 *
 * @throws PtmzError `INVALID_ARGUMENT` naming what does not fit
 * @example
 * ```ts
 * import { characters } from 'ptmz-native';
 * const data = characters('to be or not to be', { block: 4 });
 * data.alphabet.join(''); // ' benort'
 * data.train.count; // 4 windows
 * ```
 */
export function characters(source: string, options: CharactersOptions): CharacterSet {
  checkString('source', source);
  const all = [...source];
  const alphabet = [...new Set(all)].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
  const places = new Map(alphabet.map((character, i) => [character, i]));
  const tokens = Int32Array.from(all, (character) => places.get(character)!);
  return { ...text({ ...options, tokens, vocab: alphabet.length }), alphabet };
}
