/** What a file in `commands/` exports, and the examples that help texts show. */
import type { Command } from 'commander';

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

function formatExamples(examples: Example[]): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  return `\nExamples:\n${examples.map(([line, meaning]) => `  ${line.padEnd(width)}  ${meaning}`).join('\n')}`;
}
