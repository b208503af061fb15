/** Trial: one model of a published zoo, as Ray Tune wrote it - its settings, its results by epoch, its checkpoints. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkString, PtmzError } from '../errors.js';
import { attempt, disk } from '../formats/atomicFile.js';
import { statOf } from '../formats/inputFile.js';
import { parsePythonJson, readJsonLines, type JsonLines, type JsonObject } from './pythonJson.js';

/** What `params.json` says; keys that are not named here are kept as they are. */
export interface TrialParams extends JsonObject {
  'model::type': string;
  'model::width': number;
}

/** A saved epoch. */
export interface TrialCheckpoint {
  epoch: number;
  /** The state dict, for `readStateDict`. */
  path: string;
  /** State of the optimizer, for `readTorch`; where it was kept. */
  optimizer?: string;
}

/** One model of a zoo. */
export interface Trial extends JsonLines {
  params: TrialParams;
  /** One per epoch, by `training_iteration`; of a line that a restart repeats, the last one. */
  rows: JsonObject[];
  /** By epoch. */
  checkpoints: TrialCheckpoint[];
}

/** The models that the published zoos name. */
const models = ['Resnet18_width', 'Resnet50_width'];

type Check = { expected: string; test: (value: unknown) => boolean };
const whole = (low: number): Check => ({
  expected: `an integer of at least ${low}`,
  test: (value) => Number.isSafeInteger(value) && (value as number) >= low,
});
const number: Check = { expected: 'a number', test: (value) => typeof value === 'number' };
const text: Check = { expected: 'a text', test: (value) => typeof value === 'string' };

const required: Record<string, Check> = {
  'model::type': {
    expected: `one of ${models.join(', ')}`,
    test: (value) => models.includes(value as string),
  },
  'model::width': whole(1),
};
const optional: Record<string, Check> = {
  'model::o_dim': whole(1),
  'model::channels_in': whole(1),
  'model::nlin': text,
  'model::init_type': text,
  'optim::optimizer': text,
  'optim::lr': number,
  'optim::wd': number,
  'optim::momentum': number,
  'optim::scheduler': text,
  'training::batchsize': whole(1),
  'training::epochs_train': whole(0),
  'training::data_path': text,
  seed: whole(0),
};

/**
 * Reads `params.json` of a trial.
 *
 * @throws PtmzError `IO_ERROR`; `DATA_MALFORMED` naming the field, what was expected and what is there
 * @internal
 */
export function readTrialParams(path: string): TrialParams {
  const fail = (what: string, cause?: unknown) => new PtmzError('DATA_MALFORMED', `${path}: ${what}`, { cause });
  let params: JsonObject;
  try {
    params = parsePythonJson(attempt('read', path, () => disk.read(path)).toString('utf8')) as JsonObject;
  } catch (cause) {
    if (cause instanceof PtmzError) throw cause;
    throw fail(`not JSON: ${(cause as Error).message}`, cause);
  }
  if (typeof params !== 'object' || params === null || Array.isArray(params)) throw fail('expected an object');
  for (const [key, { expected, test }] of Object.entries({ ...required, ...optional })) {
    const value = Object.hasOwn(params, key) ? params[key] : undefined;
    if (value === undefined && !(key in required)) continue;
    if (!test(value)) throw fail(`expected ${expected} as '${key}', there is ${JSON.stringify(value) ?? 'none'}`);
  }
  return params as TrialParams;
}

/**
 * Reads the rows of `result.json`, one per epoch.
 *
 * @throws PtmzError `IO_ERROR`
 * @internal
 */
export function readTrialResults(path: string): JsonLines {
  const lines = readJsonLines(path);
  const byEpoch = new Map<number, JsonObject>();
  for (const row of lines.rows) {
    const epoch = row.training_iteration;
    if (Number.isSafeInteger(epoch)) byEpoch.set(epoch as number, row);
  }
  return { ...lines, rows: [...byEpoch].sort(([a], [b]) => a - b).map(([, row]) => row) };
}

/**
 * Reads a trial of a published zoo: `params.json`, `result.json` and the list of checkpoints. Pickles other than the
 * checkpoints are never opened.
 *
 * @throws PtmzError `DATA_MISSING` where the folder is no trial, `DATA_MALFORMED`, `IO_ERROR`
 * @example
 * ```ts
 * import { PtmzError, readStateDict, readTrial } from 'ptmz-native';
 * try {
 *   const trial = readTrial('zoo/NN_tune_trainable_00000');
 *   console.log(trial.rows.at(-1)?.test_acc);
 *   readStateDict(trial.checkpoints.at(-1)!.path);
 * } catch (error) {
 *   if (error instanceof PtmzError) console.log(error.code); // DATA_MISSING: there is no such folder here
 * }
 * ```
 */
export function readTrial(directory: string): Trial {
  checkString('directory', directory);
  const [params, results] = ['params.json', 'result.json'].map((name) => join(directory, name)) as [string, string];
  const missing = [params, results].find((path) => !existsSync(path));
  if (missing !== undefined)
    throw new PtmzError('DATA_MISSING', `${directory}: no trial of a zoo; ${missing} is missing`);
  return {
    params: readTrialParams(params),
    ...readTrialResults(results),
    checkpoints: findCheckpoints(directory),
  };
}

const isFile = (path: string) => statOf(path)?.isFile() === true;

function findCheckpoints(directory: string): TrialCheckpoint[] {
  const found: TrialCheckpoint[] = [];
  for (const name of attempt('list', directory, () => readdirSync(directory))) {
    const epoch = /^checkpoint_(\d{1,15})$/.exec(name)?.[1];
    const path = join(directory, name, 'checkpoints');
    // An empty folder is what an interrupted save leaves.
    if (epoch === undefined || !isFile(path)) continue;
    const optimizer = join(directory, name, 'optimizer');
    found.push({ epoch: Number(epoch), path, ...(isFile(optimizer) && { optimizer }) });
  }
  return found.sort((a, b) => a.epoch - b.epoch);
}
