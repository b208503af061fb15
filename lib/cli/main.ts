#!/usr/bin/env node
/** The `ptmz` command. */
import { createProgram } from './program.js';
import { reportError } from './reportError.js';

try {
  await createProgram().parseAsync();
} catch (error) {
  reportError(error);
  // A command that a signal ended has its exit code already, whatever else went wrong.
  process.exitCode ??= 1;
}
