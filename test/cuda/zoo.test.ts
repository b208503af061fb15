/** A zoo on a device: cells side by side, with the numbers that each has alone. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digits } from 'ptmz-native';
import { afterAll, expect, test } from 'vitest';
import { cellsAtOnce, runZoo, type ZooOptions } from '../../lib/zoo/runner.js';
import { ZooStore } from '../../lib/zoo/store.js';

const folder = mkdtempSync(join(tmpdir(), 'ptmz-cuda-zoo-'));
afterAll(() => rmSync(folder, { recursive: true }));

const data = await digits({ train: 40, test: 20 });
const hessian = { samples: 20, probes: 2, steps: 3, tolerance: 0.1 };
const settings = { widths: [2, 3], batchSizes: [10, 20, 40], seeds: [0], epochs: 1, lr: 0.1, data, hessian };
const open = (name: string, some = {}) => new ZooStore(join(folder, name), { ...settings, ...some });
const cuda = (options: ZooOptions = {}): ZooOptions => ({ device: 'cuda', ...options });

type Line = Record<string, number | string>;
/** The last line of each network without what depends on the clock, by name. */
function results(name: string): Line[] {
  const lines = readFileSync(join(folder, name, 'result.json'), 'utf8')
    .trim()
    .split('\n');
  return lines
    .map((line) => JSON.parse(line) as Line)
    .filter(({ done }) => done)
    .map((line) => Object.fromEntries(Object.entries(line).filter(([key]) => !/time|date|hostname|pid/.test(key))))
    .sort((a, b) => String(a.trial_id).localeCompare(String(b.trial_id)));
}

test('several cells are under way at a time; each has the numbers that it has alone', async () => {
  const events: string[] = [];
  const fractions: number[] = [];
  {
    using store = open('all');
    await runZoo(
      store,
      cuda({
        onBegin: ({ name }) => events.push(`begin ${name}`),
        onFinish: ({ name }) => events.push(`finish ${name}`),
        onProgress: ({ fraction }) => fractions.push(fraction),
      }),
    );
  }
  expect(cellsAtOnce('cuda:0')).toBe(4);
  expect(results('all').map((line) => line.trial_id)).toHaveLength(6);
  expect(results('all').every((line) => Number.isFinite(line.train_loss))).toBe(true);
  expect(events.slice(0, 4).every((event) => event.startsWith('begin'))).toBe(true);
  expect(events.filter((event) => event.startsWith('finish'))).toHaveLength(6);
  fractions.forEach((fraction, i) => expect(fraction).toBeGreaterThanOrEqual((fractions[i - 1] ?? 0) - 1e-12));
  expect(fractions.at(-1)).toBeCloseTo(1, 1);

  for (const [width, batchSize] of [
    [2, 20],
    [3, 40],
  ] as const) {
    const name = `${width} ${batchSize}`;
    using store = open(name, { widths: [width], batchSizes: [batchSize] });
    await runZoo(store, cuda());
    expect(results('all')).toContainEqual(results(name)[0]);
  }
}, 120_000);

test('where one fails the others stop and are saved; the zoo goes on from there', async () => {
  const broken = new Error('no more');
  {
    using store = open('broken');
    const run = runZoo(store, cuda({ onFinish: () => expect.fail(broken.message) }));
    await expect(run).rejects.toThrow('no more');
  }
  using store = open('broken');
  await runZoo(store, cuda());
  expect(results('broken')).toEqual(results('all'));
}, 120_000);

test('an aborted signal stops all of them', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  let begun = 0;
  {
    using store = open('aborted');
    const run = runZoo(
      store,
      cuda({ signal: controller.signal, onBegin: () => ++begun === 3 && controller.abort(reason) }),
    );
    await expect(run).rejects.toBe(reason);
  }
  expect(begun).toBe(3);
  using store = open('aborted');
  await runZoo(store, cuda());
  expect(results('aborted')).toEqual(results('all'));
}, 120_000);
