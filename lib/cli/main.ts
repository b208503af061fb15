#!/usr/bin/env node
/** The `ptmz` command. */
import { createProgram } from './program.js';
import { reportError } from './output.js';

try {
  await createProgram().parseAsync();
} catch (error) {
  reportError(error);
  process.exitCode = 1;
}
