/** What a file in `commands/` exports, and what help texts show beside the options: examples, and lists of names. */
import type { Command } from 'commander';
import { alignPairs } from './table.js';

/** Adds one command to the program. */
export type AddCommand = (program: Command) => void;

type Example = [line: string, meaning: string];
const examplesOf = new WeakMap<Command, Example[]>();

/** Shows examples below a command's help; the first one also appears in the help of the whole program. */
export function withExamples(command: Command, examples: Example[]): Command {
  examplesOf.set(command, examples);
  return command.addHelpText('after', formatExamples(examples));
}

/** The first example of each command. */
export function firstExamples(commands: readonly Command[]): string {
  return formatExamples(commands.flatMap((command) => examplesOf.get(command)?.slice(0, 1) ?? []));
}

const formatExamples = (examples: Example[]) => helpSection('Examples', examples);

/** A section of a help text: names, and what each one means. */
export function helpSection(title: string, rows: readonly (readonly [name: string, meaning: string])[]): string {
  return `\n${title}:\n${alignPairs(rows, '  ')}`;
}
