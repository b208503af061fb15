/** `ptmz quickstart`: what it trains, measures, prints and writes, how it stops, goes on and refuses. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createProgram } from '../lib/cli/program.js';
import { formatDuration, formatNumber, formatPercent, formatTable } from '../lib/cli/table.js';
import {
  digits,
  evaluate,
  hessianEigenvalues,
  hessianTrace,
  loadRun,
  prepareResNet,
  PtmzError,
  trainResNet,
} from '../lib/index.js';
import type { ResultLine } from '../lib/zoo/resultLine.js';
import { runZoo } from '../lib/zoo/runner.js';
import { ZooStore } from '../lib/zoo/store.js';
import { Workload } from '../lib/zoo/workload.js';

const dir = mkdtempSync(join(tmpdir(), 'ptmz-quickstart-'));
afterAll(() => rmSync(dir, { recursive: true }));

let output = '';
let messages = '';
beforeEach(() => {
  output = messages = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((output += text), true));
  vi.spyOn(console, 'log').mockImplementation((text) => void (output += `${text}\n`));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((messages += text), true));
});
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

// The last value of an option counts; lists are the exception, and stand in each test's own arguments.
const small = ['--data', 'digits', '--train-samples', '200', '--epochs', '2'];
const grid = ['--widths', '4', '2', '--batch-sizes', '50', '20', '--seeds', '5', '6'];

function quickstart(...args: string[]) {
  const program = createProgram();
  for (const command of program.commands) command.exitOverride();
  return program.parseAsync(['node', 'ptmz', 'quickstart', ...args]);
}

const text = (...path: string[]) => readFileSync(join(...path), 'utf8');
const linesOf = (folder: string) =>
  text(folder, 'result.json')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as ResultLine);

test('a device that is not there is refused before anything is read or written', async () => {
  const out = join(dir, 'elsewhere');
  const refused = quickstart(...small, ...grid, '--out', out, '--device', 'cuda:77');
  await expect(refused).rejects.toMatchObject({ code: 'CUDA_UNAVAILABLE' });
  expect(existsSync(out)).toBe(false);
  expect(messages).toBe('');
});

describe('a zoo of four cells', () => {
  const out = join(dir, 'new', 'zoo');
  const cells = ['width=4,batchsize=20', 'width=4,batchsize=50', 'width=2,batchsize=20', 'width=2,batchsize=50'];

  test('is trained, measured, printed and written', async () => {
    await quickstart(...small, ...grid, '--out', out);
    expect(readdirSync(out).sort()).toEqual([
      ...['cells.csv', 'checkpoints', 'params.json', 'phases.png', 'phases.svg', 'phases.vl.json', 'result.json'],
    ]);
    expect(readdirSync(join(out, 'checkpoints')).sort()).toEqual([...cells].sort());
    const table = output.trimEnd().split('\n');
    expect(table[1]).toMatch(/^ +batch size +width 2 +width 4$/);
    expect(table[2]).toMatch(/^ *test accuracy +20 +[\d.]+ % +[\d.]+ %$/);
    expect(table[3]).toMatch(/^ +50 +[\d.]+ % +[\d.]+ %$/);
    expect(output).toMatch(/Hessian trace +20 +[\d.]+ ± [\d.]+ +[\d.]+ ± [\d.]+/);
    expect(output).toMatch(/top eigenvalue +20 +[\d.e+]+ +[\d.e+]+/);
    expect(messages).toMatch(/^data digits\n +200 \+ 50 images of 1 x 8 x 8 in 10 classes/);
    expect(messages).toMatch(/zoo: 8 ResNet-18s \(2 widths x 2 batch sizes x 2 seeds\)/);
    expect(messages).toMatch(/\[1\/4\] width 4, batch size 20[^]*\[4\/4\] width 2, batch size 50/);
    expect(messages).toMatch(/done after \d+ s/);
    expect(process.exitCode).toBeUndefined();
  });

  test('params.json has the settings under the names of the published zoos', () => {
    expect(JSON.parse(text(out, 'params.json'))).toMatchObject({
      'model::type': 'Resnet18_width',
      'model::width': [2, 4],
      'model::o_dim': 10,
      'training::batchsize': [20, 50],
      'training::epochs_train': 2,
      'optim::lr': 0.1,
      'optim::wd': 0.0005,
      seed: [5, 6],
      'data::name': 'digits',
    });
  });

  test('result.json has what training and measuring by hand give', async () => {
    const lines = linesOf(out);
    expect(lines).toHaveLength(4 * 2 * 2);
    const data = await digits({ train: 200, test: 50 });
    using run = await trainResNet({ depth: 18, width: 2, data, batchSize: 20, epochs: 2, seeds: [5, 6] });
    const { trace, standardError } = await hessianTrace(run, data.train, { probes: 16, samples: 192 });
    const settings = { samples: 192, steps: 40, tolerance: 0.01 };
    const { eigenvalues, residuals } = await hessianEigenvalues(run, data.train, settings);
    const own = lines.filter(({ config }) => config['model::width'] === 2 && config['training::batchsize'] === 20);
    expect(own.map((line) => [line.config.seed, line.training_iteration, line.done])).toEqual([
      ...[5, 6].flatMap((seed) => [
        [seed, 1, false],
        [seed, 2, true],
      ]),
    ]);
    own.forEach((line, i) => {
      const [m, epoch] = [i >> 1, i & 1];
      const record = run.history[epoch]!;
      expect(line).toMatchObject({
        train_loss: record.trainLoss[m],
        train_acc: record.trainAccuracy[m],
        test_loss: record.testLoss[m],
        test_acc: record.testAccuracy[m],
        config: { 'model::type': 'Resnet18_width', 'optim::lr': 0.1 },
      });
      if (!line.done) return void expect(Object.keys(line)).not.toContain('divergedAt');
      expect(line).toMatchObject({
        hessian_trace_train_mean: trace[m],
        hessian_trace_train_standard_error: standardError[m],
        hessian_top_eigenvalues_train_mean: eigenvalues[m]![0],
        hessian_top_eigenvalues_train_residual: residuals[m]![0],
        divergedAt: null,
      });
      expect(line.log_hessian_trace_train).toBeCloseTo(Math.log((trace[0]! + trace[1]!) / 2), 12);
      expect(line.log_hessian_top_ev).toBeCloseTo(Math.log((eigenvalues[0]![0]! + eigenvalues[1]![0]!) / 2), 12);
    });
  });

  test('checkpoints hold the trained populations', async () => {
    using run = await loadRun(join(out, 'checkpoints', 'width=4,batchsize=50'));
    expect([run.finished, run.seeds]).toEqual([true, [5, 6]]);
    const { accuracy } = await evaluate(run, run.data.test!);
    const last = linesOf(out).filter(({ done, config }) => done && config['model::width'] === 4);
    const own = last.filter(({ config }) => config['training::batchsize'] === 50);
    expect(own.map((line) => line.test_acc)).toEqual(accuracy);
  });

  test('cells.csv and the figure have the means of the cells', () => {
    const [headings, ...rows] = text(out, 'cells.csv')
      .trim()
      .split('\n')
      .map((line) => line.split(','));
    const value = (row: string[], name: string) => Number(row[headings!.indexOf(name)]);
    const spec = JSON.parse(text(out, 'phases.vl.json')) as { data: { values: Record<string, number>[] } };
    expect(rows).toHaveLength(4);
    for (const row of rows) {
      const [width, batch] = [value(row, 'width'), value(row, 'batchsize')];
      const members = linesOf(out).filter(
        ({ done, config }) => done && config['model::width'] === width && config['training::batchsize'] === batch,
      );
      const mean = (key: keyof ResultLine) => members.reduce((sum, line) => sum + (line[key] as number), 0) / 2;
      expect(value(row, 'test_acc')).toBeCloseTo(mean('test_acc'), 12);
      expect(value(row, 'hessian_trace_train_mean')).toBeCloseTo(mean('hessian_trace_train_mean'), 8);
      const errors = members.map((line) => line.hessian_trace_train_standard_error!);
      expect(value(row, 'hessian_trace_train_standard_error')).toBeCloseTo(
        Math.sqrt(errors[0]! ** 2 + errors[1]! ** 2) / 2,
        8,
      );
      const drawn = spec.data.values.find((cell) => cell.width === width && cell['batch size'] === batch)!;
      expect(drawn['test accuracy']).toBeCloseTo(mean('test_acc'), 12);
      expect(drawn['log10 trace']).toBeCloseTo(Math.log10(mean('hessian_trace_train_mean')), 12);
    }
    const written = [...text(out, 'phases.svg').matchAll(/>([^<>]+)<\/text>/g)].map(([, words]) => words);
    expect(written).toEqual(expect.arrayContaining(['ResNet-18 on digits', 'batch size', 'width']));
  });

  test('is not trained again; --json prints it', async () => {
    const before = text(out, 'result.json');
    await quickstart(...small, ...grid, '--out', out, '--json');
    expect(messages).toMatch(/4 of 4 cells were finished before/);
    expect(messages).not.toMatch(/\[\d\/4\]/);
    expect(text(out, 'result.json')).toBe(before);
    const result = JSON.parse(output);
    expect(result).toMatchObject({ directory: out, interrupted: false, params: { seed: [5, 6] } });
    expect(result.cells.map((cell: { width: number; batchSize: number }) => [cell.width, cell.batchSize])).toEqual([
      [4, 20],
      [4, 50],
      [2, 20],
      [2, 50],
    ]);
  });

  test('does not let other settings in, and says which', async () => {
    const error = await quickstart(...small, ...grid, '--epochs', '3', '--out', out).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'CHECKPOINT_MISMATCH', hint: expect.stringContaining('--out') });
    expect((error as Error).message).toMatch(/params.json.*training::epochs_train is 2 there and 3 here$/);
    expect(messages).not.toMatch(/zoo:/);
  });

  test('measures again, from the checkpoints, what result.json lacks', async () => {
    const before = text(out, 'result.json');
    const lines = before.split('\n');
    writeFileSync(join(out, 'result.json'), lines.filter((line) => !line.includes(cells[1]!)).join('\n'));
    await quickstart(...small, ...grid, '--out', out);
    expect(messages).toMatch(/3 of 4 cells were finished before\n\[2\/4\]/);
    expect(messages).not.toMatch(/training, epoch/);
    expect(text(out, 'result.json')).toBe(before);
  });

  test.each([
    ['result.json', '{"trial_id": "width=4"}\n', /result.json: line 1 is not a result/],
    ['result.json', '{"trial_id\n', /result.json: line 1 is not a result/],
    ['params.json', '[', /params.json: is not a JSON object/],
    ['params.json', '3', /params.json: is not a JSON object/],
  ])('names a damaged %s', async (name, damage, message) => {
    const before = text(out, name);
    writeFileSync(join(out, name), damage);
    const error = await quickstart(...small, ...grid, '--out', out).catch((e: unknown) => e);
    writeFileSync(join(out, name), before);
    expect(error).toMatchObject({ code: 'DATA_MALFORMED' });
    expect((error as Error).message).toMatch(message);
  });
});

describe('stopped', () => {
  const long = [
    '--data',
    'digits',
    '--train-samples',
    '400',
    '--epochs',
    '6',
    '--widths',
    '2',
    '--batch-sizes',
    '8',
    '--seeds',
    '0',
  ];
  const whole = join(dir, 'whole');
  const results = async () => {
    if (!existsSync(join(whole, 'result.json'))) await quickstart(...long, '--out', whole);
    return text(whole, 'result.json');
  };

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s saves, exits with %i, and the same command goes on to the same numbers', async (signal, code) => {
    const out = join(dir, signal);
    const folder = join(out, 'checkpoints', 'width=2,batchsize=8');
    const waiting = quickstart(...long, '--out', out, '--json');
    // The first epoch is saved, and five are to come.
    const saved = () => existsSync(folder) && readdirSync(folder).some((name) => name.startsWith('epoch-'));
    await vi.waitFor(() => expect(saved()).toBe(true), { timeout: 20_000, interval: 5 });
    process.emit(signal);
    await waiting;
    expect(process.exitCode).toBe(code);
    expect(messages).toMatch(/press Ctrl-C again[^]*stopped after .* 0 of 1 cells; the same command goes on/);
    expect(JSON.parse(output)).toMatchObject({ interrupted: true, cells: [] });
    expect(process.listenerCount(signal)).toBe(0);
    expect(existsSync(join(out, 'result.json'))).toBe(false);
    const step = Number(/step-(\d+)$/.exec(readdirSync(folder)[0]!)![1]);
    expect(step).toBeGreaterThan(0);
    expect(step).toBeLessThan(300);
    await quickstart(...long, '--out', out);
    expect(text(out, 'result.json')).toBe(await results());
  });
});

describe('a network that diverges', () => {
  test('has no curvature, and the zoo goes on', async () => {
    const data = await digits({ train: 100, test: 20 });
    const hessian = { samples: 50, probes: 2, steps: 4, tolerance: 0.1 };
    const settings = { widths: [2], batchSizes: [20, 50], seeds: [0, 1], epochs: 1, lr: 1e30, data, hessian };
    using store = new ZooStore(join(dir, 'diverged'), settings);
    const warnings: string[] = [];
    await runZoo(store, { onWarning: (message) => warnings.push(message) });
    const lines = linesOf(store.directory);
    expect(lines).toHaveLength(4);
    for (const line of lines) {
      expect(line).toMatchObject({ done: true, hessian_trace_train_mean: null, log_hessian_top_ev: null });
      expect(line.divergedAt).toBeGreaterThanOrEqual(0);
    }
    expect(store.summaries()).toMatchObject([
      { batchSize: 20, diverged: 2, testAccuracy: null, hessianTrace: null, logHessianTrace10: null },
      { batchSize: 50, diverged: 2 },
    ]);
    store[Symbol.dispose]();
    using again = new ZooStore(store.directory, settings);
    expect(again.summaries()).toEqual(store.summaries());
  });

  test('is left out of the measures; the others have the numbers that they have without it', async () => {
    const data = await digits({ train: 100, test: 20 });
    const hessian = { samples: 50, probes: 2, steps: 4, tolerance: 0.1 };
    const settings = { widths: [2], batchSizes: [50], seeds: [7, 0], epochs: 1, lr: 0.1, data, hessian };
    using store = new ZooStore(join(dir, 'half'), settings);
    // As a zoo saves it, but for a rate of its own for one member.
    const common = { depth: 18, width: 2, data, batchSize: 50, epochs: 1 } as const;
    using half = prepareResNet({ ...common, seeds: [7, 0], lr: [1e30, 0.1] });
    await half.train({ saveTo: store.checkpoints({ width: 2, batchSize: 50, name: 'width=2,batchsize=50' }) });
    await runZoo(store);
    using alone = await trainResNet({ ...common, seeds: [0] });
    const { trace } = await hessianTrace(alone, data.train, { probes: 2, samples: 50 });
    expect(linesOf(store.directory).filter(({ done }) => done)).toMatchObject([
      { divergedAt: expect.any(Number), hessian_trace_train_mean: null },
      { divergedAt: null, hessian_trace_train_mean: trace[0] },
    ]);
    expect(store.summaries()).toMatchObject([{ members: 2, diverged: 1, hessianTrace: trace[0] }]);
  });
});

test('the part that is done counts earlier runs, the time that is left does not', () => {
  const work = new Workload(10, 2);
  const [one, other] = [{}, {}];
  expect(work.progress(one, 0)).toEqual({ fraction: 0.2, eta: NaN });
  work.skip(1);
  expect(work.progress(one, 0)).toEqual({ fraction: 0.3, eta: NaN });
  work.finish(one, 3);
  expect(work.progress(one, 1)).toEqual({ fraction: 0.7, eta: expect.any(Number) });
  expect(work.progress(other, 1).fraction).toBe(0.8);
  work.finish(one, 3);
  expect(work.progress(other, 0.5).fraction).toBe(0.95);
  work.finish(other, 1);
  expect(work.progress(one, 0)).toEqual({ fraction: 1, eta: 0 });
});

describe('refuses before any work', () => {
  test('a folder that cannot be written to', async () => {
    writeFileSync(join(dir, 'file'), '');
    const refused = (path: string) => quickstart(...small, '--out', path);
    await expect(refused(join(dir, 'file'))).rejects.toMatchObject({ code: 'NOT_WRITABLE' });
    await expect(refused(join(dir, 'file', 'below'))).rejects.toMatchObject({ code: 'NOT_WRITABLE' });
    expect(messages).not.toMatch(/zoo:/);
  });

  test('a folder in which another one is at work', async () => {
    const out = join(dir, 'shared');
    using _ = new ZooStore(out, {
      ...{
        widths: [2],
        batchSizes: [50],
        seeds: [0],
        epochs: 1,
        lr: 0.1,
        data: await digits({ train: 200, test: 50 }),
      },
      hessian: { samples: 192, probes: 16, steps: 40, tolerance: 0.01 },
    });
    const same = ['--widths', '2', '--batch-sizes', '50', '--seeds', '0', '--epochs', '1'];
    await expect(quickstart(...small, ...same, '--out', out)).rejects.toMatchObject({
      code: 'BUSY',
      message: expect.stringMatching(/shared is in use by this process, \d+$/) as string,
    });
    expect(messages).not.toMatch(/zoo:/);
  });

  test.each([
    ['--epochs', '0'],
    ['--widths', 'two'],
    ['--batch-sizes', '0'],
    ['--seeds', '1.5'],
    ['--train-samples', '-1'],
  ])('%s %s', async (...args) => {
    await expect(quickstart(...args)).rejects.toThrow(new RegExp(`${args[0]}.*'${args[1]}'`));
  });

  test.each([
    [['--widths', '2', '2'], /different integers for widths but received 2 twice/],
    [['--seeds', '5000000000'], /seeds\[0\].*5000000000/],
    [['--data', 'imagenet'], /one of 'digits'.* for data but received 'imagenet'/],
    [['--train-samples', '2000'], /between 1 and 1437 for train but received 2000/],
  ])('%s', async (args, message) => {
    const out = join(dir, 'never');
    const error = await quickstart('--data', 'digits', '--out', out, ...args).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(PtmzError);
    expect((error as Error).message).toMatch(message);
    expect(existsSync(out)).toBe(false);
  });
});

test('numbers for people', () => {
  expect([0, 1.23456, 12345.6, 123456789, 0.00001234, NaN, null].map((x) => formatNumber(x))).toEqual([
    ...['0.000', '1.235', '12346', '1.235e+8', '1.234e-5', '-', '-'],
  ]);
  expect([0.12345, null].map(formatPercent)).toEqual(['12.3 %', '-']);
  expect([6.6, 65, 7380, NaN].map(formatDuration)).toEqual(['7 s', '1 min 05 s', '2 h 03 min', '?']);
  const columns = [
    { heading: 'n', cell: (n: number) => String(n) },
    { heading: 'square', cell: (n: number) => String(n * n) },
  ];
  expect(formatTable(columns, [9, 10])).toBe(' n   square\n 9       81\n10      100');
});
