/** Values of options: how texts become numbers and lists, and which options the user gave. */
import { InvalidArgumentError, type Command } from 'commander';
import { checkDevice } from '../device.js';
import { unexpected } from '../errors.js';

type Parse<T> = (text: string) => T;

/** A whole number from `low` to `high`. */
export const integer =
  (low: number, high = Number.MAX_SAFE_INTEGER): Parse<number> =>
  (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (value >= low && value <= high) return value;
    const range = high === Number.MAX_SAFE_INTEGER ? `>= ${low}` : `from ${low} to ${high}`;
    throw new InvalidArgumentError(`Expected an integer ${range}.`);
  };

/** A number from `low` to `high`. */
export const number =
  (low: number, high = Number.MAX_VALUE): Parse<number> =>
  (text) => {
    const value = text.trim() === '' ? NaN : Number(text);
    if (value >= low && value <= high) return value;
    const range = high === Number.MAX_VALUE ? `>= ${low}` : `from ${low} to ${high}`;
    throw new InvalidArgumentError(`Expected a number ${range}.`);
  };

/** The name of a device, in full. */
export const device: Parse<string> = (text) => {
  try {
    return checkDevice('device', text);
  } catch {
    throw new InvalidArgumentError("Expected 'cpu', 'cuda' or 'cuda:N'.");
  }
};

/** Of an option `<x...>`: its values, parsed one by one; the first one takes the place of the default. */
export const list =
  <T>(parse: Parse<T>, standard?: readonly T[]) =>
  (text: string, previous: readonly T[] | undefined): T[] => [
    ...(previous === undefined || previous === standard ? [] : previous),
    parse(text),
  ];

/** One of some names, which the help lists elsewhere. */
export const oneOf =
  (names: readonly string[]): Parse<string> =>
  (text) => {
    if (names.includes(text)) return text;
    throw new InvalidArgumentError(`Expected one of ${names.join(', ')}.`);
  };

/** Names in one text, separated by commas. */
export const names: Parse<string[]> = (text) => {
  const all = text.split(',').map((name) => name.trim());
  if (all.includes('')) throw new InvalidArgumentError('Expected names separated by commas.');
  return all;
};

/** The options that stood on the command line, by their keys; those left to their defaults are not among them. */
export function givenOptions(command: Command): Record<string, unknown> {
  const options = Object.entries(command.opts<Record<string, unknown>>());
  return Object.fromEntries(options.filter(([key]) => command.getOptionValueSource(key) === 'cli'));
}

/**
 * Throws where an option was given that does not go with another one.
 *
 * @param allowed keys of the options that may stand beside `reason`
 */
export function allowOnly(command: Command, reason: string, allowed: readonly string[]): void {
  const odd = Object.keys(givenOptions(command)).find((key) => !allowed.includes(key));
  if (odd === undefined) return;
  const { long } = command.options.find((option) => option.attributeName() === odd)!;
  throw unexpected(long!, `nothing beside ${reason}`, String(command.opts()[odd]));
}

/** A word as a shell takes it. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
