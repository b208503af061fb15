/** Runs one schedule case: a table of learning rates and momenta that PyTorch's schedulers gave. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PtmzError } from '../errors.js';
import { scheduleTable, type Schedule } from '../train/schedules.js';
import type { CaseResult, Check } from './ops.js';

/** A scheduler's arguments in PyTorch's words, and what it held before each step. */
export interface ScheduleReference {
  args: Record<string, number | boolean | string>;
  lr: number[];
  momentum_or_beta1: number[];
}

const oneCycleNames = {
  pct_start: 'pctStart',
  anneal_strategy: 'anneal',
  cycle_momentum: 'cycleMomentum',
  div_factor: 'divFactor',
  final_div_factor: 'finalDivFactor',
  three_phase: 'threePhase',
};

/** PyTorch's arguments in our words. */
export function translateSchedule({ args }: Pick<ScheduleReference, 'args'>): { schedule: Schedule; peak: number } {
  if ('max_lr' in args) {
    const settings = Object.entries(oneCycleNames).flatMap(([theirs, ours]) =>
      theirs in args ? [[ours, args[theirs]]] : [],
    );
    return { schedule: { kind: 'onecycle', ...Object.fromEntries(settings) }, peak: args.max_lr as number };
  }
  const peak = args.base_lr as number;
  if ('warmup' in args) {
    const { warmup, min_ratio: minRatio } = args as Record<string, number>;
    return { schedule: { kind: 'cosine', warmup: warmup!, minRatio: minRatio! }, peak };
  }
  const { T_max: period, eta_min: low } = args as Record<string, number>;
  return { schedule: { kind: 'cosine', period: period!, minRatio: low! / peak }, peak };
}

const tolerance = 1e-15; // absolute

function worst(own: readonly number[], reference: readonly number[]): number {
  if (own.length !== reference.length) return Infinity;
  return own.reduce((max, x, i) => Math.max(max, Math.abs(x - reference[i]!)), 0);
}

function compare(reference: ScheduleReference): Check[] {
  const { schedule, peak } = translateSchedule(reference);
  // A table that does not cycle holds the optimizer's own momentum or beta1, which all cases leave at 0.9.
  const own = scheduleTable(schedule, { steps: reference.lr.length, lr: peak, momentum: 0.9 });
  const check = (tensor: string, a: number[], b: number[]) => ({
    tensor,
    program: 'schedule',
    error: worst(a, b),
    tolerance,
  });
  return [check('lr', own.lr, reference.lr), check('momentum', own.momentum, reference.momentum_or_beta1)];
}

/** Runs a schedule case; what goes wrong in it becomes its failure. */
export function runScheduleCase(id: string, file: string, directory: string): CaseResult {
  try {
    const { schedules } = JSON.parse(readFileSync(join(directory, file), 'utf8')) as {
      schedules: Record<string, ScheduleReference>;
    };
    if (!schedules[id]) throw new PtmzError('DATA_MALFORMED', `${file} holds no schedule '${id}'`);
    return { id, checks: compare(schedules[id]) };
  } catch (error) {
    const { code = 'error', message } = error as { code?: string; message: string };
    return { id, checks: [], failure: `${code}: ${message}` };
  }
}
