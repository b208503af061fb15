/** File cases of the oracle: good files that must load with the right values, hostile ones that must be refused. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PtmzError } from '../errors.js';
import { readSafetensors } from '../formats/safetensors.js';
import { readStateDict } from '../formats/stateDict.js';
import { bytesOf, isTensor, torchName, type StoredTensor } from '../formats/storedTensor.js';
import { readTorch } from '../formats/torchFile.js';
import type { TorchValue } from '../formats/torchValue.js';
import { readTrial, readTrialParams, readTrialResults, type Trial } from '../zoo/trial.js';
import type { JsonLines } from '../zoo/pythonJson.js';
import type { CaseResult } from './ops.js';

/** A value in the notation of the manifest: what JSON lacks is an object with one key. */
type Content = string | number | boolean | null | Tagged;
interface Tagged {
  dict?: [Content, Content][];
  list?: Content[];
  tuple?: Content[];
  tensor?: { dtype: string; shape: number[]; sha256: string };
  float?: string;
  bigint?: string;
  bytes?: string;
}

/** What must come of the lines of a `result.json`. */
interface RowExpectation {
  rows?: number;
  truncated?: boolean;
  bad_lines?: number[];
  last_wins?: boolean;
  error?: string;
}

/** One file case; which fields there are depends on its kind. */
export interface FileCase {
  file: string;
  kind: string;
  expect: string | RowExpectation;
  /** The expected numbers: by tensor, or of the tensor `w`. */
  values?: Record<string, number[]> | number[];
  content?: Content;
  /** Of a `typed_error`: a correct load is as good. */
  accept_load?: boolean;
  limits?: { rss_growth_mb: number; seconds: number };
  /** A file that must not come to exist. */
  marker?: string;
  /** Of a trial. */
  epochs_with_checkpoint?: number[];
  result?: Record<string, number | null>[];
  expected_last?: string;
}

/** What is wrong with what was read, or undefined. */
type Judge = (c: FileCase, directory: string) => string | undefined;

const kinds: Record<string, Judge> = {
  tensors: (c, directory) => {
    const tensors = readSafetensors(join(directory, c.file));
    const values = c.values as Record<string, number[]> | undefined;
    if (values && tensors.size !== Object.keys(values).length) return `${tensors.size} tensors`;
    return values && differentNumbers(tensors, values);
  },
  torch: (c, directory) => {
    const value = readTorch(join(directory, c.file));
    const wrong = c.content === undefined || c.content === null ? undefined : difference(value, c.content, 'value');
    return wrong ?? (Array.isArray(c.values) ? differentNumbers(value, { w: c.values }) : undefined);
  },
  params: (c, directory) => void readTrialParams(join(directory, c.file)),
  results: (c, directory) => differentRows(readTrialResults(join(directory, c.file)), c.expect as RowExpectation),
  trial: (c, directory) => {
    const trial = readTrial(join(directory, c.file));
    return differentTrial(trial, c) ?? differentLast(trial, readSafetensors(join(directory, c.expected_last!)));
  },
};

/** The judge of a case; undefined for kinds of files that this version does not read. */
function judgeOf({ file, kind }: FileCase): Judge | undefined {
  if (file.startsWith('files/safetensors/')) return kinds.tensors;
  if (kind === 'zoo_trial') return kinds.trial;
  if (kind === 'zoo_json') return file.includes('/params_') ? kinds.params : kinds.results;
  return kind === 'pt' || /\.pth?$/.test(file) ? kinds.torch : undefined;
}

/** Whether this version reads files of this kind. */
export const runsFile = (c: FileCase): boolean => judgeOf(c) !== undefined && c.file.startsWith('files/');

function differentNumbers(value: TorchValue, expected: Record<string, number[]>): string | undefined {
  const tensors = value as ReadonlyMap<string, StoredTensor>;
  const wrong = Object.entries(expected).find(([name, numbers]) => {
    const data = tensors.get(name)?.data;
    return data?.length !== numbers.length || numbers.some((x, i) => Number(data[i]) !== x);
  });
  return wrong && `'${wrong[0]}' has other values`;
}

/** The first place where a value is not what the manifest says. */
function difference(value: TorchValue, expected: Content, where: string): string | undefined {
  const differs = (same: boolean) => (same ? undefined : `${where} differs from ${JSON.stringify(expected)}`);
  if (expected === null || typeof expected !== 'object') return differs(Object.is(value, expected));
  const { dict, tensor, float, bigint, bytes } = expected;
  const list = expected.list ?? expected.tuple;
  if (tensor) return differs(isTensor(value) && sameTensor(value as StoredTensor, tensor));
  if (float !== undefined) return differs(Object.is(value, Number(float.replace('inf', 'Infinity'))));
  if (bigint !== undefined) return differs(typeof value === 'bigint' && String(value) === bigint);
  if (bytes !== undefined) return differs(value instanceof Uint8Array && Buffer.from(value).toString('hex') === bytes);
  if (list) {
    if (!Array.isArray(value) || value.length !== list.length) return differs(false);
    return first(list, (item, i) => difference(value[i] as TorchValue, item, `${where}[${i}]`));
  }
  const keys = value instanceof Map ? [...value.keys()] : undefined;
  if (!dict || keys?.length !== dict.length) return differs(false);
  return first(dict, ([key, item], i) =>
    Object.is(keys[i], key)
      ? difference((value as Map<unknown, TorchValue>).get(key)!, item, `${where}['${String(key)}']`)
      : `${where} has the key ${String(keys[i])} in place of ${String(key)}`,
  );
}

function first<T>(items: readonly T[], check: (item: T, index: number) => string | undefined): string | undefined {
  for (const [i, item] of items.entries()) {
    const wrong = check(item, i);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

const sameTensor = (actual: StoredTensor, { dtype, shape, sha256 }: NonNullable<Tagged['tensor']>) =>
  torchName(actual.dtype) === dtype &&
  String(actual.shape) === String(shape) &&
  createHash('sha256').update(bytesOf(actual)).digest('hex') === sha256;

function differentRows(lines: JsonLines, expected: RowExpectation): string | undefined {
  const { rows = 0, truncated = false, bad_lines = [], last_wins } = expected;
  if (lines.rows.length !== rows) return `expected ${rows} rows, got ${lines.rows.length}`;
  if (lines.truncated !== truncated) return `expected truncated to be ${truncated}`;
  if (String(lines.badLines) !== String(bad_lines)) return `expected bad lines ${bad_lines}, got ${lines.badLines}`;
  return last_wins && lines.rows.at(-1)!.restarted !== true ? 'expected the last of two equal lines' : undefined;
}

function differentTrial(trial: Trial, c: FileCase): string | undefined {
  const epochs = trial.checkpoints.map(({ epoch }) => epoch);
  if (String(epochs) !== String(c.epochs_with_checkpoint)) return `checkpoints of the epochs ${epochs}`;
  if (trial.rows.length !== c.result!.length) return `${trial.rows.length} rows`;
  return first(c.result!, (expected, i) => {
    // The manifest is JSON: its null stands for NaN.
    const wrong = Object.entries(expected).find(([key, x]) => !Object.is(trial.rows[i]![key], x ?? NaN));
    return wrong && `row ${i} has another '${wrong[0]}'`;
  });
}

function differentLast(trial: Trial, expected: Map<string, StoredTensor>): string | undefined {
  const actual = readStateDict(trial.checkpoints.at(-1)!.path);
  if (actual.size !== expected.size) return `${actual.size} tensors in the last checkpoint`;
  return first([...expected], ([name, tensor]) => {
    const same = actual.get(name);
    const equal = same?.dtype === tensor.dtype && Buffer.from(bytesOf(same)).equals(bytesOf(tensor));
    return equal && String(same.shape) === String(tensor.shape) ? undefined : `'${name}' has other values`;
  });
}

const mustFail = ({ expect, accept_load }: FileCase) =>
  typeof expect === 'string' ? expect === 'typed_error' && accept_load !== true : expect.error !== undefined;

function judgeError(c: FileCase, error: unknown): string | undefined {
  const { code, message } = error as PtmzError;
  if (c.expect === 'load' || (typeof c.expect === 'object' && c.expect.error === undefined))
    return `expected to load, got ${code}: ${message}`;
  if (!(error instanceof PtmzError)) return `expected a PtmzError, got ${String(error)}`;
  return message.includes(c.file.split('/').at(-1)!) ? undefined : `the message does not name the file: ${message}`;
}

/** What is wrong with how a file was read, or undefined. */
function judge(c: FileCase, directory: string): string | undefined {
  const began = performance.now();
  const before = process.memoryUsage().rss;
  let problem: string | undefined;
  try {
    problem = judgeOf(c)!(c, directory);
    if (mustFail(c)) return 'expected a typed error, the file was loaded';
  } catch (error) {
    problem = judgeError(c, error);
  }
  const seconds = (performance.now() - began) / 1000;
  const megabytes = (process.memoryUsage().rss - before) / 2 ** 20;
  if (seconds > (c.limits?.seconds ?? Infinity)) problem ??= `took ${seconds.toFixed(1)} s`;
  if (megabytes > (c.limits?.rss_growth_mb ?? Infinity)) problem ??= `took ${megabytes.toFixed(0)} MB`;
  if (c.marker !== undefined && existsSync(c.marker)) problem ??= `${c.marker} was made`;
  if (Object.keys(Object.prototype).length > 0 || 'dtype' in {} || 'polluted' in {})
    problem ??= 'Object.prototype was changed';
  return problem;
}

/** Reads the file of a case and compares what happens with what must. */
export function runFileCase(c: FileCase, directory: string): CaseResult {
  const failure = judge(c, directory);
  const id = c.file.replace(/^files\//, '');
  if (failure !== undefined) return { id, checks: [], failure };
  return { id, checks: [{ tensor: 'contents', program: 'the reader', error: 0, tolerance: 0 }] };
}
