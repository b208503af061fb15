/** The manifest of an oracle folder: its cases, with their attributes, tensors and tolerances. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PtmzError } from '../errors.js';

/** One operator case: inputs, expected outputs and tolerances; the tensors lie in `file`. */
export interface OpCase {
  id: string;
  op: string;
  attrs: Record<string, unknown>;
  file: string;
  inputs: Record<string, { dtype: string; shape: number[]; diff: boolean }>;
  outputs: Record<string, number[]>;
  tol: { f64: number; f32: Record<string, number> };
}

export interface Manifest {
  ops: OpCase[];
  /** Cases of the parts that this version does not run, by part: ids. */
  others: Record<'models' | 'metrics' | 'optim' | 'files', string[]>;
}

interface RawManifest {
  ops?: OpCase[];
  models?: { id: string }[];
  metrics?: { id: string }[];
  files?: { file: string }[];
  optim?: { schedules?: { ids?: string[] }; lbfgs?: { cases?: object } };
}

/**
 * Reads `manifest.json` of a folder.
 * @throws PtmzError `IO_ERROR` where it cannot be read, `DATA_MALFORMED` where it is no manifest
 */
export function readManifest(directory: string): Manifest {
  const path = join(directory, 'manifest.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new PtmzError('IO_ERROR', `${path} could not be read: ${(cause as Error).message}`, {
      hint: 'DIR is a folder that holds manifest.json, ops/, models/, ...',
      cause,
    });
  }
  let raw: RawManifest;
  try {
    raw = JSON.parse(text) as RawManifest;
  } catch (cause) {
    throw new PtmzError('DATA_MALFORMED', `${path} is not JSON: ${(cause as Error).message}`, { cause });
  }
  const { ops = [], models = [], metrics = [], files = [], optim } = raw;
  for (const list of [ops, models, metrics, files])
    if (!Array.isArray(list)) throw new PtmzError('DATA_MALFORMED', `${path}: expected lists of cases`);
  return {
    ops,
    others: {
      models: models.map((c) => c.id),
      metrics: metrics.map((c) => c.id),
      optim: [...(optim?.schedules?.ids ?? []), ...Object.keys(optim?.lbfgs?.cases ?? {})],
      files: files.map((c) => c.file),
    },
  };
}
