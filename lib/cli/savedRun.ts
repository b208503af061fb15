/** Saved runs: opening one with its images, wherever these can be found. */
import type { DataSet } from '../data/dataset.js';
import { PtmzError, unexpected } from '../errors.js';
import type { Precision } from '../precision.js';
import { loadRun } from '../train/loadRun.js';
import type { Run } from '../train/run.js';
import { chooseData, dataFlag, dataKeys, readData, type ChosenData, type DataOptions } from './dataOptions.js';
import type { Progress } from './progress.js';
import { readRunFile, runDirectory, type RunFile } from './runFile.js';

/** A run as it was saved. */
export interface SavedRun {
  run: Run;
  directory: string;
  /** What the command line was told when it began, if it was begun there. */
  file: RunFile | undefined;
  /** The samples that it was opened with, if they were not found by the data set's name alone. */
  chosen: ChosenData | undefined;
}

/**
 * Loads the newest checkpoint in a directory, or the one that is given; prints its warnings. The samples are those of
 * the options, or else those of `run.json`.
 *
 * @throws PtmzError as `loadRun` and `openData`
 */
export async function openRun(
  path: string,
  options: DataOptions & { device: string; precision?: Precision },
  progress: Progress,
  signal: AbortSignal,
): Promise<SavedRun> {
  const directory = runDirectory(path);
  const file = readRunFile(directory);
  if (file?.data === null) {
    const odd = dataKeys.find((key) => options[key] !== undefined);
    if (odd !== undefined) throw unexpected(dataFlag(odd), 'nothing: the run has its own points', String(options[odd]));
  }
  const chosen = chooseData(options, file?.data ?? undefined);
  const data = chosen && (await readData(chosen, progress, signal).catch(sayWhereToLook(options)));
  // Of the kind that the model takes: loadRun checks it.
  const { device, precision } = options;
  const run = await loadRun(path, { data: data as DataSet | undefined, device, ...(precision && { precision }) });
  for (const warning of run.warnings) process.stderr.write(`warning: ${warning}\n`);
  return { run, directory, file, chosen };
}

/** What was found when the run began may have moved since. */
const sayWhereToLook =
  (options: DataOptions) =>
  (cause: unknown): never => {
    if (!(cause instanceof PtmzError) || cause.code !== 'DATA_MISSING' || options.data !== undefined) throw cause;
    const hint = 'The run was trained on these samples; if they have moved, say where they are with --data.';
    throw new PtmzError('DATA_MISSING', cause.message, { hint, cause });
  };
