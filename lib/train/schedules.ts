/** Schedules: the learning rate and momentum of every optimiser step, computed before training starts. */
import {
  checkArray,
  checkBoolean,
  checkInteger,
  checkNumber,
  checkObject,
  checkOneOf,
  invalidArgument,
} from '../errors.js';

/** torch.optim.lr_scheduler.OneCycleLR, momentum cycling included. `lr` of the training is the peak. */
export interface OneCycle {
  kind: 'onecycle';
  /** Part of the steps in which the rate rises; default 0.3. */
  pctStart?: number;
  /** Default `cos`. */
  anneal?: 'cos' | 'linear';
  /** Whether momentum runs against the rate (default true); the training's `momentum` is then not used. */
  cycleMomentum?: boolean;
  /** Default 0.85. */
  baseMomentum?: number;
  /** Default 0.95. */
  maxMomentum?: number;
  /** The rate starts at lr / divFactor; default 25. */
  divFactor?: number;
  /** The rate ends at lr / divFactor / finalDivFactor; default 10,000. */
  finalDivFactor?: number;
  /** Rise, fall, then annihilate, instead of rise and fall. Default false. */
  threePhase?: boolean;
}

/**
 * A cosine from lr to lr * minRatio over all steps (torch CosineAnnealingLR with T_max = steps), after `warmup` steps
 * that rise linearly to lr: lr * (step + 1) / warmup.
 */
export interface Cosine {
  kind: 'cosine';
  /** Steps; default 0. */
  warmup?: number;
  /** Default 0. */
  minRatio?: number;
  /** Length of the cosine in steps after the warm-up; default: all of them. */
  period?: number;
}

/** The same rate in every step, after `warmup` steps that rise to it linearly. */
export interface Constant {
  kind: 'constant';
  /** Steps; default 0. */
  warmup?: number;
}

/** The rate times `gamma` at every milestone (torch MultiStepLR), after `warmup` steps that rise to it linearly. */
export interface Step {
  kind: 'step';
  /** Parts of all steps, rising, in (0, 1); default [0.5, 0.75]. */
  milestones?: readonly number[];
  /** Default 0.1. */
  gamma?: number;
  /** Steps; default 0. */
  warmup?: number;
}

/** A schedule with its settings. */
export type Schedule = OneCycle | Cosine | Constant | Step;
/** A schedule with its default settings. */
export type ScheduleName = Schedule['kind'];

const kinds = ['onecycle', 'cosine', 'constant', 'step'] as const;

/** One number per step. */
export interface ScheduleTable {
  lr: number[];
  momentum: number[];
}

interface Phase {
  end: number;
  lr: [from: number, to: number];
  momentum: [from: number, to: number];
}

const anneals = {
  // The order of operations is torch's, so that the numbers are equal to the last bits.
  cos: (from: number, to: number, part: number) => to + ((from - to) / 2) * (Math.cos(Math.PI * part) + 1),
  linear: (from: number, to: number, part: number) => (to - from) * part + from,
};

function oneCycle(s: OneCycle, peak: number, momentum: number, steps: number): ScheduleTable {
  checkObject('schedule', s, [
    ...['kind', 'pctStart', 'anneal', 'cycleMomentum', 'baseMomentum', 'maxMomentum', 'divFactor', 'finalDivFactor'],
    'threePhase',
  ]);
  const pctStart = checkNumber('schedule.pctStart', s.pctStart ?? 0.3, 0, 1);
  const anneal = anneals[checkOneOf('schedule.anneal', s.anneal ?? 'cos', ['cos', 'linear'])];
  const cycles = checkBoolean('schedule.cycleMomentum', s.cycleMomentum ?? true);
  const low = checkNumber('schedule.baseMomentum', s.baseMomentum ?? 0.85, 0, 1);
  const high = checkNumber('schedule.maxMomentum', s.maxMomentum ?? 0.95, 0, 1);
  const start = peak / checkNumber('schedule.divFactor', s.divFactor ?? 25, Number.MIN_VALUE, Number.MAX_VALUE);
  const end =
    start / checkNumber('schedule.finalDivFactor', s.finalDivFactor ?? 1e4, Number.MIN_VALUE, Number.MAX_VALUE);
  const rise: Phase = { end: pctStart * steps - 1, lr: [start, peak], momentum: [high, low] };
  const phases: Phase[] = checkBoolean('schedule.threePhase', s.threePhase ?? false)
    ? [
        rise,
        { end: 2 * pctStart * steps - 2, lr: [peak, start], momentum: [low, high] },
        { end: steps - 1, lr: [start, end], momentum: [high, high] },
      ]
    : [rise, { end: steps - 1, lr: [peak, end], momentum: [low, high] }];
  const table: ScheduleTable = { lr: [], momentum: [] };
  for (let step = 0; step < steps; step++) {
    const index = phases.findIndex((phase, i) => step <= phase.end || i === phases.length - 1);
    const phase = phases[index]!;
    const begin = index > 0 ? phases[index - 1]!.end : 0;
    // Runs of so few steps that a phase has no length stay at its end.
    const part = phase.end > begin ? (step - begin) / (phase.end - begin) : 1;
    table.lr.push(anneal(...phase.lr, part));
    table.momentum.push(cycles ? anneal(...phase.momentum, part) : momentum);
  }
  return table;
}

function cosine(s: Cosine, peak: number, momentum: number, steps: number): ScheduleTable {
  checkObject('schedule', s, ['kind', 'warmup', 'minRatio', 'period']);
  const warmup = checkInteger('schedule.warmup', s.warmup ?? 0, 0);
  const low = peak * checkNumber('schedule.minRatio', s.minRatio ?? 0, 0, 1);
  const period = checkInteger('schedule.period', s.period ?? Math.max(1, steps - warmup), 1);
  const lr = Array.from({ length: steps }, (_, step) =>
    step < warmup
      ? (peak * (step + 1)) / warmup
      : low + ((peak - low) * (1 + Math.cos((Math.PI * (step - warmup)) / period))) / 2,
  );
  return { lr, momentum: lr.map(() => momentum) };
}

function stepwise(s: Step, peak: number, momentum: number, steps: number): ScheduleTable {
  checkObject('schedule', s, ['kind', 'milestones', 'gamma', 'warmup']);
  const { milestones = [0.5, 0.75] } = s;
  checkArray('schedule.milestones', milestones);
  milestones.forEach((part, i) => {
    checkNumber(`schedule.milestones[${i}]`, part, 0, 1);
    if (part <= (milestones[i - 1] ?? 0))
      throw invalidArgument('schedule.milestones', 'rising parts in (0, 1]', milestones);
  });
  const gamma = checkNumber('schedule.gamma', s.gamma ?? 0.1, 0, Number.MAX_VALUE);
  const { lr } = constant({ kind: 'constant', warmup: s.warmup ?? 0 }, peak, momentum, steps);
  const passed = (step: number) => milestones.filter((part) => step >= Math.round(part * steps)).length;
  return { lr: lr.map((rate, step) => rate * gamma ** passed(step)), momentum: lr.map(() => momentum) };
}

function constant(s: Constant, peak: number, momentum: number, steps: number): ScheduleTable {
  checkObject('schedule', s, ['kind', 'warmup']);
  const warmup = checkInteger('schedule.warmup', s.warmup ?? 0, 0);
  const lr = Array.from({ length: steps }, (_, step) => (step < warmup ? (peak * (step + 1)) / warmup : peak));
  return { lr, momentum: lr.map(() => momentum) };
}

/**
 * The learning rate and momentum of every step.
 *
 * @param schedule its name, or an object with its settings
 * @param run number of steps, peak rate, and the momentum (default 0.9) where the schedule does not set it
 * @throws PtmzError `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { scheduleTable } from 'ptmz-native';
 * const { lr, momentum } = scheduleTable('onecycle', { steps: 100, lr: 0.1 });
 * lr[29]; // 0.1, the peak, where momentum[29] is 0.85
 * ```
 */
export function scheduleTable(
  schedule: ScheduleName | Schedule,
  run: { steps: number; lr: number; momentum?: number },
): ScheduleTable {
  const { steps, lr, momentum = 0.9 } = run;
  const settings: Schedule = typeof schedule === 'string' ? { kind: schedule } : schedule;
  if (typeof schedule === 'string') checkOneOf('schedule', schedule, kinds);
  else checkObject('schedule', schedule);
  checkOneOf('schedule.kind', settings.kind, kinds);
  checkInteger('steps', steps, 1, 2 ** 31 - 1);
  checkNumber('lr', lr, 0, Number.MAX_VALUE);
  checkNumber('momentum', momentum, 0, 1);
  if (settings.kind === 'onecycle') return oneCycle(settings, lr, momentum, steps);
  if (settings.kind === 'cosine') return cosine(settings, lr, momentum, steps);
  if (settings.kind === 'step') return stepwise(settings, lr, momentum, steps);
  return constant(settings, lr, momentum, steps);
}
