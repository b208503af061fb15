/** File cases of the oracle: good files that must load with the right values, hostile ones that must be refused. */
import { join } from 'node:path';
import { PtmzError } from '../errors.js';
import { readSafetensors, type StoredTensor } from '../formats/safetensors.js';
import type { CaseResult } from './ops.js';

/** One file case; `values` are the expected numbers, by tensor. */
export interface FileCase {
  file: string;
  kind: string;
  expect: string | object;
  values?: Record<string, number[]>;
  /** Of a `typed_error`: a correct load is as good. */
  accept_load?: boolean;
  limits?: { rss_growth_mb: number; seconds: number };
}

/** Whether this version reads files of this kind. */
export const runsFile = ({ file }: FileCase): boolean => file.startsWith('files/safetensors/');

/** What differs from the expected values, or undefined. */
function difference(tensors: ReadonlyMap<string, StoredTensor>, values: Record<string, number[]>): string | undefined {
  if (tensors.size !== Object.keys(values).length) return `expected ${Object.keys(values).length} tensors`;
  const wrong = Object.entries(values).find(([name, expected]) => {
    const data = tensors.get(name)?.data;
    return data?.length !== expected.length || expected.some((x, i) => Number(data[i]) !== x);
  });
  return wrong && `'${wrong[0]}' has other values`;
}

function judgeError(c: FileCase, error: unknown): string | undefined {
  const { code, message } = error as PtmzError;
  if (c.expect === 'load') return `expected to load, got ${code}: ${message}`;
  if (!(error instanceof PtmzError)) return `expected a PtmzError, got ${String(error)}`;
  return message.includes(c.file.split('/').at(-1)!) ? undefined : `the message does not name the file: ${message}`;
}

/** What is wrong with how a file was read, or undefined. */
function judge(c: FileCase, path: string): string | undefined {
  const began = performance.now();
  const before = process.memoryUsage().rss;
  let problem: string | undefined;
  try {
    const tensors = readSafetensors(path);
    if (c.expect === 'typed_error' && !c.accept_load) return 'expected a typed error, the file was loaded';
    problem = c.values && difference(tensors, c.values);
  } catch (error) {
    problem = judgeError(c, error);
  }
  const seconds = (performance.now() - began) / 1000;
  const megabytes = (process.memoryUsage().rss - before) / 2 ** 20;
  if (seconds > (c.limits?.seconds ?? Infinity)) problem ??= `took ${seconds.toFixed(1)} s`;
  if (megabytes > (c.limits?.rss_growth_mb ?? Infinity)) problem ??= `took ${megabytes.toFixed(0)} MB`;
  if (Object.keys(Object.prototype).length > 0 || 'dtype' in {}) problem ??= 'Object.prototype was changed';
  return problem;
}

/** Reads the file of a case and compares what happens with what must. */
export function runFileCase(c: FileCase, directory: string): CaseResult {
  const failure = judge(c, join(directory, c.file));
  const id = c.file.replace(/^files\//, '');
  if (failure !== undefined) return { id, checks: [], failure };
  return { id, checks: [{ tensor: 'contents', program: 'the reader', error: 0, tolerance: 0 }] };
}
