/** Schedules against the tables that PyTorch gave. */
import { readFileSync } from 'node:fs';
import { scheduleTable, type Schedule } from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { translateSchedule } from '../lib/oracle/optim.js';

interface Table {
  args: Record<string, number | boolean | string>;
  lr: number[];
  momentum: number[];
}
const tables = JSON.parse(readFileSync(new URL('./oracle/schedules.json', import.meta.url), 'utf8')) as Record<
  string,
  Table
>;

describe('schedules of PyTorch', () => {
  test.each(Object.keys(tables))('%s', (name) => {
    const table = tables[name]!;
    const { schedule, peak } = translateSchedule(table);
    const { lr, momentum } = scheduleTable(schedule, { steps: table.lr.length, lr: peak });
    const worst = (a: number[], b: number[]) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
    expect(lr).toHaveLength(table.lr.length);
    expect(worst(lr, table.lr)).toBeLessThan(1e-15);
    expect(worst(momentum, table.momentum)).toBeLessThan(1e-15);
  });
});

test('a constant rate may warm up', () => {
  const { lr, momentum } = scheduleTable({ kind: 'constant', warmup: 4 }, { steps: 6, lr: 0.2, momentum: 0.5 });
  expect(lr).toEqual([0.05, 0.1, 0.15000000000000002, 0.2, 0.2, 0.2]);
  expect(momentum).toEqual([0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
});

test('schedules of one and two steps are finite', () => {
  for (const steps of [1, 2]) {
    for (const kind of ['onecycle', 'cosine', 'constant'] as const) {
      const { lr, momentum } = scheduleTable(kind, { steps, lr: 0.1 });
      expect([...lr, ...momentum].every(Number.isFinite)).toBe(true);
    }
  }
});

test('settings are checked', () => {
  const make =
    (schedule: unknown, steps = 5, lr = 0.1) =>
    () =>
      scheduleTable(schedule as Schedule, { steps, lr });
  expect(make('twocycle')).toThrow(/'onecycle', 'cosine', 'constant', 'step' for schedule.*'twocycle'/);
  expect(make({ kind: 'onecycle', pctStart: 2 })).toThrow(/schedule\.pctStart.*2/);
  expect(make({ kind: 'onecycle', warmup: 2 })).toThrow(/warmup/);
  expect(make({ kind: 'cosine', warmup: -1 })).toThrow(/schedule\.warmup.*-1/);
  expect(make('cosine', 0)).toThrow(/steps.*0/);
  expect(make('cosine', 5, -0.1)).toThrow(/lr.*-0\.1/);
});

describe('step', () => {
  test('is MultiStepLR with milestones 6 and 9 of 12 steps, at 0.2 and gamma 0.1', () => {
    const { lr, momentum } = scheduleTable('step', { steps: 12, lr: 0.2, momentum: 0.8 });
    // As torch.optim.lr_scheduler gives them.
    const expected = [...new Array<number>(6).fill(0.2), 0.02, 0.02, 0.02, 0.002, 0.002, 0.002];
    lr.forEach((rate, step) => expect(rate).toBeCloseTo(expected[step]!, 15));
    expect(momentum).toEqual(new Array(12).fill(0.8));
  });

  test('rises to its rate first where it is asked to', () => {
    const { lr } = scheduleTable({ kind: 'step', milestones: [0.5], gamma: 0.5, warmup: 2 }, { steps: 6, lr: 1 });
    expect(lr).toEqual([0.5, 1, 1, 0.5, 0.5, 0.5]);
  });

  test.each([[[0.5, 0.5]], [[0]], [[1.5]]])('milestones %o are refused', (milestones) => {
    expect(() => scheduleTable({ kind: 'step', milestones }, { steps: 6, lr: 1 })).toThrow(/schedule\.milestones/);
  });
});
