/** The manifest of an oracle folder: its cases, with their attributes, tensors and tolerances. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PtmzError } from '../errors.js';
import type { FlatIndex } from './flat.js';
import type { Digest } from './reference.js';
import type { FileCase } from './files.js';

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

/** One metric case; which fields there are depends on its kind. */
export interface MetricCase {
  id: string;
  kind: string;
  file: string;
  seed: number;
  /** Layer sizes, activation and flat order of a small network. */
  dims?: number[];
  act?: string;
  params_order?: string[];
  /** Of tensors that are made by formula, by state-dict name. */
  weights_sha256?: Record<string, string>;
  tol: { hessian_max_over_max?: number; eigenvalues_max_over_max?: number; estimators_rel: number };
}

/** A ResNet on n images (3,image,image). */
export interface ResNetConfig {
  kind: string;
  depth: 18 | 34 | 50;
  width: number;
  stem: 'cifar' | 'imagenet';
  n: number;
  image: number;
  classes: number;
}

/** A GPT-2 on n sequences of t tokens. */
export interface GPT2Config {
  kind: string;
  vocab: number;
  ctx: number;
  d: number;
  heads: number;
  depth: number;
  approx: 'none' | 'tanh';
  n: number;
  t: number;
}

/** A vision transformer on n images (3,image,image). */
export interface ViTConfig {
  kind: string;
  image: number;
  patch: number;
  d: number;
  heads: number;
  depth: number;
  mlp: number;
  classes: number;
  n: number;
}

/** A network for the convection equation, with numbers of points inside, at the start and at the boundary. */
export interface PinnConfig {
  kind: string;
  dims: number[];
  beta: number;
  nf: number;
  ni: number;
  nb: number;
}

/** One run of L-BFGS: two numbers from x0, or a network for the convection equation. */
export interface LbfgsCase {
  x0?: number[];
  dims?: number[];
  beta?: number;
  seed?: number;
  params_order?: string[];
  options: { lr: number; history_size: number; tolerance_grad?: number; tolerance_change?: number };
}

/** One model case: its weights and expected tensors lie in files of their own. */
export interface ModelCase {
  id: string;
  /** `kind` says which other fields there are: {@link ResNetConfig}, {@link GPT2Config}, ... */
  config: { kind: string };
  /** A file, or `formula` (see hash.ts). */
  weights: string;
  ref: string;
  detail: string;
  seed: number;
  opt: {
    sgd: { max_lr: number; momentum: number; weight_decay: number; onecycle_total_steps: number; steps: number };
    adamw: {
      lr: number;
      betas: [number, number];
      eps: number;
      weight_decay: number;
      cosine_T_max: number;
      steps: number;
    };
  };
  /** Per tensor. */
  tol: { f64: Record<string, number>; f32: Record<string, number> };
}

/** The file `detail` of a model case: order of its flat vectors, and digests of tensors that are not stored. */
export interface ModelDetail {
  index: FlatIndex;
  running_index: FlatIndex;
  digests: Record<string, Digest>;
  weights_sha256: Record<string, string>;
}

export interface Manifest {
  ops: OpCase[];
  models: ModelCase[];
  metrics: MetricCase[];
  files: FileCase[];
  /** Schedule tables by id, all in one file; and optimizer runs. */
  optim: { schedules: { file: string; ids: string[] }; lbfgs: { file: string; cases: Record<string, LbfgsCase> } };
}

interface RawManifest {
  ops?: OpCase[];
  models?: ModelCase[];
  metrics?: MetricCase[];
  files?: FileCase[];
  optim?: { schedules?: { file: string; ids: string[] }; lbfgs?: { file?: string; cases?: Record<string, LbfgsCase> } };
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
    models,
    metrics,
    files,
    optim: {
      schedules: optim?.schedules ?? { file: '', ids: [] },
      lbfgs: { file: optim?.lbfgs?.file ?? '', cases: optim?.lbfgs?.cases ?? {} },
    },
  };
}
