/** ResultLine: what one member was after one epoch, a line of `result.json`; the last line also has its curvature. */
import type { Run } from '../train/run.js';
import { memberConfig, type Cell, type Grid, type Params } from './grid.js';

/** Curvature of every member; null where it could not be measured, as for one that diverged. */
export interface Curvature {
  trace: (number | null)[];
  traceError: (number | null)[];
  topEigenvalue: (number | null)[];
  topResidual: (number | null)[];
}

/** What only the last line of a member holds. */
export interface Annotation {
  hessian_trace_train_mean: number | null;
  /** Of the mean over random vectors; a key of our own, as is the residual of the eigenvalue. */
  hessian_trace_train_standard_error: number | null;
  hessian_top_eigenvalues_train_mean: number | null;
  hessian_top_eigenvalues_train_residual: number | null;
  /** Natural logarithms of the means over the cell's members, the same for all of them. */
  log_hessian_trace_train: number | null;
  log_hessian_top_ev: number | null;
  /** The step whose loss, gradient or update was not finite. */
  divergedAt: number | null;
  /** Where the curvature was measured, and the training came to its end; earlier versions did not write it. */
  device?: string;
}

/** The keys are those of the published zoos. Numbers that are not finite are null. */
export interface ResultLine extends Partial<Annotation> {
  /** The cell and the seed. */
  trial_id: string;
  /** The epoch, from 1. */
  training_iteration: number;
  /** On the last line of a member. */
  done: boolean;
  train_loss: number | null;
  train_acc: number | null;
  test_loss: number | null;
  test_acc: number | null;
  config: Params;
}

/** The number, or null where it is NaN or infinite: JSON has no such numbers. */
export const finite = (value: number | null | undefined): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null;

/** The mean of the values that are there. */
export function meanOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length > 0 ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}

const log = (value: number | null) => (value === null ? null : finite(Math.log(value)));

/** All lines of a trained cell, member by member. */
export function describeCell(grid: Grid, cell: Cell, run: Run, curvature: Curvature): ResultLine[] {
  const { history, divergedAt, device } = run;
  const [trace, error, top, residual] = [
    curvature.trace.map(finite),
    curvature.traceError.map(finite),
    curvature.topEigenvalue.map(finite),
    curvature.topResidual.map(finite),
  ];
  const logTrace = log(meanOf(trace));
  const logTop = log(meanOf(top));
  return run.seeds.flatMap((seed, m) => {
    const member = { trial_id: `${cell.name},seed=${seed}`, config: memberConfig(grid, cell, seed) };
    const lines = history.map(({ epoch, ...record }): ResultLine => ({
      ...member,
      training_iteration: epoch,
      done: false,
      train_loss: finite(record.trainLoss[m]),
      train_acc: finite(record.trainAccuracy[m]),
      test_loss: finite(record.testLoss[m]),
      test_acc: finite(record.testAccuracy[m]),
    }));
    const last: Annotation = {
      hessian_trace_train_mean: trace[m]!,
      hessian_trace_train_standard_error: error[m]!,
      hessian_top_eigenvalues_train_mean: top[m]!,
      hessian_top_eigenvalues_train_residual: residual[m]!,
      log_hessian_trace_train: logTrace,
      log_hessian_top_ev: logTop,
      divergedAt: divergedAt[m]!,
      device,
    };
    // Where all members diverged in the first epoch there is no record, but every member has a last line.
    return [...lines.slice(0, -1), { ...(lines.at(-1) ?? { ...member, ...unknown }), ...last, done: true }];
  });
}

const unknown = { training_iteration: 0, train_loss: null, train_acc: null, test_loss: null, test_acc: null } as const;

const values = ['train_loss', 'train_acc', 'test_loss', 'test_acc'] as const satisfies readonly (keyof ResultLine)[];
const lastValues = [
  'hessian_trace_train_mean',
  'hessian_trace_train_standard_error',
  'hessian_top_eigenvalues_train_mean',
  'hessian_top_eigenvalues_train_residual',
  'log_hessian_trace_train',
  'log_hessian_top_ev',
  'divergedAt',
] as const satisfies readonly (keyof Annotation)[];

/** Reads a line of `result.json`; undefined where it is none. */
export function parseLine(text: string): ResultLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isLine(value) ? value : undefined;
}

function isLine(value: unknown): value is ResultLine {
  if (typeof value !== 'object' || value === null) return false;
  const line = value as Record<string, unknown>;
  const { trial_id, training_iteration, done, config } = line;
  if (typeof trial_id !== 'string' || !Number.isInteger(training_iteration) || typeof done !== 'boolean') return false;
  if (typeof config !== 'object' || config === null) return false;
  const keys: readonly string[] = done ? [...values, ...lastValues] : values;
  return keys.every((key) => line[key] === null || typeof line[key] === 'number');
}
