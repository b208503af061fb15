/** Flags in tables: what each one says, which networks, optimizers or schedules take it, and refusing it elsewhere. */
import { Option, type Command } from 'commander';
import { unexpected } from '../errors.js';

/** One flag; its key in a table is the option of the API that it sets, as commander derives it from the flag. */
export interface Flag {
  /** As commander writes it: `--beta <x...>`. */
  flags: string;
  description: string;
  parse?: (text: string, previous: never) => unknown;
  choices?: readonly string[];
  /** The kinds that take it; all of them where left out. */
  of?: readonly string[];
}

/** Flags by their keys. */
export type FlagTable = Readonly<Record<string, Flag>>;

/** The values of the flags that stood on a command line, by their keys. */
export type Given = Readonly<Record<string, unknown>>;

/** Adds the flags under a heading of the help. */
export function addFlags(command: Command, heading: string, table: FlagTable): Command {
  command.optionsGroup(heading);
  for (const { flags, description, parse, choices } of Object.values(table)) {
    const option = new Option(flags, description);
    if (choices) option.choices(choices);
    else if (parse) option.argParser(parse as (text: string, previous: unknown) => unknown);
    command.addOption(option);
  }
  return command;
}

/** `--beta`, of a flag. */
export const longOf = ({ flags }: Flag): string => flags.split(' ')[0]!;

/** What of a table stood on the command line. */
export function pick(table: FlagTable, given: Given): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([key]) => key in table));
}

/**
 * Throws where a flag was given that another kind takes.
 *
 * @param reason what it does not go with, such as `--optimizer adamw`
 * @throws PtmzError `INVALID_ARGUMENT`
 */
export function refuseOthers(table: FlagTable, given: Given, kind: string, reason: string): void {
  const odd = Object.entries(table).find(([key, { of }]) => given[key] !== undefined && of && !of.includes(kind));
  if (odd) throw unexpected(longOf(odd[1]), `nothing beside ${reason}`, describe(given[odd[0]]));
}

const describe = (value: unknown): string => (Array.isArray(value) ? value.join(' ') : String(value));
