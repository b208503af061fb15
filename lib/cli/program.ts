/** The command line: a table of commands, each in a file of its own. */
import { createRequire } from 'node:module';
import { Command } from 'commander';
import { firstExamples, type AddCommand } from './command.js';
import { addBuild } from './commands/build.js';
import { addConvert } from './commands/convert.js';
import { addData } from './commands/data.js';
import { addDoctor } from './commands/doctor.js';
import { addMeasure } from './commands/measure.js';
import { addQuickstart } from './commands/quickstart.js';
import { addTrain } from './commands/train.js';

// One line each, in the order of `ptmz --help`.
const commands: AddCommand[] = [addQuickstart, addTrain, addMeasure, addConvert, addData, addDoctor, addBuild];

/** The program with all its commands, ready to parse. */
export function createProgram(): Command {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
  const program = new Command('ptmz')
    .description('Trains populations of small models and measures their loss landscapes.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help; after a command, its own')
    .helpCommand(false)
    .showHelpAfterError('Run it with --help to see what is possible.');
  for (const add of commands) add(program);
  return program.addHelpText('after', firstExamples(program.commands));
}
