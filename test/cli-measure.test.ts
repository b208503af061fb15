/** `ptmz measure`: the API's numbers from the command line, the table of metrics, and how it stops and refuses. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  arrays,
  digits,
  hessianEigenvalues,
  hessianSpectrum,
  hessianTrace,
  loadRun,
  trainResNet,
  type DataSet,
  type Run,
} from 'ptmz-native';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkMetric, chooseMetrics, metrics } from '../lib/landscape/metrics.js';
import { ptmz } from './support/cli.js';

const folder = mkdtempSync(join(tmpdir(), 'ptmz-cli-measure-'));
let data: DataSet;
let run: Run;

beforeAll(async () => {
  const args = ['train', '--data', 'digits', '--train-samples', '120', '--test-samples', '40', '--width', '2'];
  expect(await ptmz(folder, [...args, '--epochs', '2', '--seeds', '0', '5', '--out', 'run'])).toMatchObject({
    code: 0,
  });
  data = await digits({ train: 120, test: 40 });
  run = await loadRun(join(folder, 'run'), { data });
}, 60_000);
afterAll(() => {
  run.dispose();
  rmSync(folder, { recursive: true });
});

/** What JSON makes of a value. */
const asJson = (value: unknown) => JSON.parse(JSON.stringify(value)) as unknown;

describe('the numbers are those of the API', () => {
  test('trace, eigenvalues and spectrum of the training images, as JSON', async () => {
    const args = ['--samples', '50', '--batch-size', '25', '--probes', '6', '--steps', '9', '--top', '2'];
    const { code, stdout, stderr } = await ptmz(folder, [
      ...['measure', 'run', '--json', '--which', 'both', '--seed', '3', '--runs', '2', ...args],
    ]);
    const result = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(result).toMatchObject({
      ...{ run: join(folder, 'run'), model: 'resnet18-w2', parameters: 11384, step: 4, epoch: 2, seeds: [0, 5] },
      ...{ data: { name: 'digits', split: 'train', count: 120 }, divergedAt: [null, null], missing: [] },
    });
    const common = { samples: 50, batchSize: 25, seed: 3 };
    const trace = await hessianTrace(run, data.train, { ...common, probes: 6 });
    const eigen = await hessianEigenvalues(run, data.train, { ...common, count: 2, which: 'both', steps: 9 });
    const spectrum = await hessianSpectrum(run, data.train, { ...common, runs: 2, steps: 9 });
    const member = (from: object, m: number, names: string[]) =>
      asJson(Object.fromEntries(names.map((name) => [name, (from as Record<string, unknown[]>)[name]![m]])));
    for (const m of [0, 1]) {
      expect(result.metrics.trace.members[m]).toEqual(member(trace, m, ['trace', 'standardError', 'samples']));
      const names = ['eigenvalues', 'residuals', 'converged', 'iterations'];
      expect(result.metrics.eigenvalues.members[m]).toEqual(member(eigen, m, names));
      expect(result.metrics.spectrum.members[m]).toEqual(asJson(spectrum[m]));
    }
    expect(result.metrics.trace.options).toEqual({ ...common, probes: 6, method: 'hutchinson' });
    expect(result.metrics.eigenvalues.options).toMatchObject({ ...common, top: 2, which: 'both', steps: 9 });
    expect(stderr).toMatch(/\[1\/3\] trace on 50 images\n.*\n\[2\/3\] eigenvalues on 50 images/);
    expect(stderr).toContain('not written to a file; --out FILE does that');
  }, 60_000);

  test('one metric of the test images as a table, kept in a file', async () => {
    const args = ['measure', 'run', '--only', 'trace', '--split', 'test', '--probes', '5', '--threads', '1'];
    const { code, stdout, stderr } = await ptmz(folder, [...args, '--out', 'new/trace.json']);
    const trace = await hessianTrace(run, data.test!, { probes: 5 });
    expect(code).toBe(0);
    const [heading, ...rows] = stdout.trim().split('\n');
    expect(heading).toMatch(/^seed +Hessian trace$/);
    expect(rows.map((row) => row.trim().split(/ +/)[0])).toEqual(['0', '5']);
    rows.forEach((row, m) => expect(parseFloat(row.trim().split(/ +/)[1]!) / trace.trace[m]!).toBeCloseTo(1, 3));
    expect(stderr).toContain('written: new/trace.json');
    const kept = JSON.parse(readFileSync(join(folder, 'new/trace.json'), 'utf8'));
    expect(Object.keys(kept.metrics)).toEqual(['trace']);
    expect(kept.metrics.trace.members.map((m: { trace: number }) => m.trace)).toEqual(trace.trace);
  });

  test('the method of another program, where a metric has it, and what has not converged is marked', async () => {
    const args = ['measure', 'run', '--only', 'eigenvalues,trace', '--method', 'pyhessian', '--steps', '2'];
    const { stdout } = await ptmz(folder, [...args, '--samples', '40', '--json']);
    const result = JSON.parse(stdout);
    const trace = await hessianTrace(run, data.train, { method: 'pyhessian', samples: 40 });
    const options = { method: 'pyhessian', steps: 2, samples: 40 } as const;
    const { eigenvalues, converged } = await hessianEigenvalues(run, data.train, options);
    expect(result.metrics.trace.members[1].trace).toBe(trace.trace[1]);
    expect(result.metrics.eigenvalues.members[1].eigenvalues).toEqual(eigenvalues[1]);
    expect(converged[1]).toEqual([false]);
    const table = await ptmz(folder, [
      ...args.slice(0, 2),
      '--only',
      'eigenvalues',
      ...args.slice(4),
      '--samples',
      '40',
    ]);
    expect(table.stdout).toMatch(/eigenvalue 1\n.*\n.*\(not converged\)/);
  });

  test('a member that has diverged is left out, and the others have the numbers that they have without it', async () => {
    const args = ['train', '--data', 'digits', '--train-samples', '120', '--test-samples', '40', '--width', '2'];
    const more = ['--epochs', '2', '--dtype', 'float64', '--seeds', '8', '0', '5', '--lr', '1e300', '0.1', '0.1'];
    await ptmz(folder, [...args, ...more, '--out', 'diverged']);
    const measure = ['measure', 'diverged', '--only', 'trace,eigenvalues', '--probes', '2', '--steps', '3'];
    const json = await ptmz(folder, [...measure, '--json']);
    expect(json).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/left out, as diverged: seed 8 \(step/) as string,
    });
    using without = await trainResNet({
      ...{ depth: 18, width: 2, data, batchSize: 64, epochs: 2, seeds: [0, 5], dtype: 'float64' },
    });
    const { trace } = await hessianTrace(without, data.train, { probes: 2 });
    const result = JSON.parse(json.stdout);
    expect(result.seeds).toEqual([8, 0, 5]);
    expect(result.metrics.trace.members[0]).toBeNull();
    expect(result.metrics.trace.members.slice(1).map((m: { trace: number }) => m.trace)).toEqual(trace);
    const table = await ptmz(folder, measure);
    expect(table.stdout).toMatch(/8 +- +-\n +0 +[\d-]/);
    await ptmz(folder, [...args, '--lr', '1e300', '--dtype', 'float64', '--out', 'none left']);
    const none = await ptmz(folder, ['measure', 'none left']);
    expect(none).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('every member of the run has diverged') as string,
    });
  }, 60_000);

  test('a checkpoint within a run, and a run that a program saved', async () => {
    const one = await ptmz(folder, [
      'measure',
      'run/epoch-000001-step-000000002',
      '--only',
      'trace',
      '--probes',
      '2',
      '--json',
    ]);
    expect(JSON.parse(one.stdout)).toMatchObject({ step: 2, epoch: 1 });
    const saveTo = join(folder, 'program');
    const images = new Uint8Array(40 * 64).map((_, i) => (i * 37) % 251);
    const own = arrays({
      images,
      shape: [40, 1, 8, 8],
      labels: Array.from({ length: 40 }, (_, i) => i % 4),
      name: 'own',
    });
    using mine = await trainResNet({ depth: 18, width: 2, data: own, batchSize: 20, epochs: 1, seeds: [0], saveTo });
    const lost = await ptmz(folder, ['measure', 'program']);
    expect(lost).toMatchObject({ code: 1, stderr: expect.stringMatching(/data set 'own'.*\n.*--data/) as string });
    const dir = join(folder, 'own');
    mkdirSync(dir);
    const idx = (name: string, shape: number[], bytes: Uint8Array) =>
      writeFileSync(
        join(dir, name),
        Buffer.from([0, 0, 8, shape.length, ...shape.flatMap((n) => [0, 0, 0, n]), ...bytes]),
      );
    for (const part of ['train', 't10k']) {
      idx(`${part}-images-idx3-ubyte`, [40, 8, 8], images);
      idx(`${part}-labels-idx1-ubyte`, [40], Uint8Array.from(own.train.labels));
    }
    // The run had no test images.
    const other = await ptmz(folder, ['measure', 'program', '--data', 'idx:own']);
    expect(other).toMatchObject({ code: 1, stderr: expect.stringMatching(/data.test were none/) as string });
    expect(mine.finished).toBe(true);
  }, 60_000);
});

test('Ctrl-C prints and keeps what is measured, and exits with 130', async () => {
  const args = ['measure', 'run', '--only', 'trace,eigenvalues,spectrum', '--probes', '2', '--runs', '1000000'];
  const { code, stdout, stderr } = await ptmz(
    folder,
    [...args, '--steps', '5', '--json', '--out', 'part.json'],
    (text, kill) => {
      if (text.includes('[3/3]') && !text.includes('stopping')) kill('SIGINT');
    },
  );
  const result = JSON.parse(stdout);
  expect(code).toBe(130);
  expect(Object.keys(result.metrics)).toEqual(['trace', 'eigenvalues']);
  expect(result.missing).toEqual(['spectrum']);
  const trace = await hessianTrace(run, data.train, { probes: 2 });
  expect(result.metrics.trace.members[0].trace).toBe(trace.trace[0]);
  expect(JSON.parse(readFileSync(join(folder, 'part.json'), 'utf8'))).toEqual(result);
  expect(stderr).toContain('not measured: spectrum');
});

test('SIGTERM before anything is measured: nothing is written', async () => {
  const args = ['measure', 'run', '--only', 'trace', '--probes', '1000000', '--out', 'none.json'];
  const { code, stdout } = await ptmz(folder, args, (text, kill) => {
    if (text.includes('[1/1]') && !text.includes('stopping')) kill('SIGTERM');
  });
  expect({ code, stdout }).toEqual({ code: 143, stdout: '' });
  expect(existsSync(join(folder, 'none.json'))).toBe(false);
});

describe('refused before any work, with exit code 1', () => {
  test.each([
    [['--only', 'trace,sharpness'], /'trace', 'eigenvalues', 'spectrum' for metric but received 'sharpness'/],
    [['--only', 'trace,'], /--only.*separated by commas/],
    [['--only', 'trace', '--top', '2'], /nothing for trace: eigenvalues alone takes it for top/],
    [['--only', 'trace', '--steps', '2'], /eigenvalues and spectrum alone take it/],
    [['--only', 'spectrum', '--method', 'lanczos'], /eigenvalues alone takes it for method but received lanczos/],
    [['--method', 'newton'], /--method.*'newton'.*pyhessian/],
    [['--which', 'middle'], /--which.*'middle'/],
    [['--method', 'power', '--which', 'both'], /which: method 'power'/],
    [['--probes', '0'], /--probes.*'0'/],
    [['--top', '1.5'], /--top.*'1.5'/],
    [['--top', '5', '--steps', '2'], /for steps but received 2/],
    [['--samples', '121'], /between 1 and 120 for samples but received 121/],
    [['--samples', '41', '--split', 'test'], /between 1 and 40 for samples but received 41/],
    [['--batch-size', '0'], /--batch-size.*'0'/],
    [['--split', 'both'], /--split.*'both'/],
    [['--seed', '-1'], /-1/],
    [['--out', '.'], /--out \.: expected a file/],
    [['--data', 'mnist'], /'mnist'/],
    [['--train-samples', '100'], /the run's data.train were/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await ptmz(folder, ['measure', 'run', ...args]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\[1\/|\.js:\d/);
  });

  test('no run, and a folder that holds none', async () => {
    expect(await ptmz(folder, ['measure'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("'run'") as string,
    });
    expect(await ptmz(folder, ['measure', 'nowhere'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('nowhere: expected checkpoints of a run, found none') as string,
    });
  });
});

describe('the table of metrics', () => {
  test('every row measures, with one value per member in every column, and costs what it says', async () => {
    for (const [name, metric] of Object.entries(metrics)) {
      const steps = 'steps' in metric.defaults ? { steps: 4 } : { probes: 4 };
      const options = chooseMetrics([name], { samples: 20, ...steps }).get(name)!;
      const { columns, members } = await metric.measure(run, data.train, options);
      expect(members).toHaveLength(2);
      for (const { values } of columns) expect(values.map(Number.isFinite)).toEqual([true, true]);
      expect(metric.products(run, options)).toBe(4);
      expect(metric.description).not.toBe('');
    }
  });

  test('power iterations have their steps for every eigenvalue', () => {
    const products = (more: object) => {
      const options = chooseMetrics(['eigenvalues'], { top: 3, ...more }).get('eigenvalues')!;
      return metrics['eigenvalues']!.products(run, options);
    };
    expect([products({}), products({ method: 'power' }), products({ steps: 1e6 })]).toEqual([100, 300, 11384]);
  });

  test('checking an option is not measuring', async () => {
    await expect(checkMetric('trace', run, data.train, { probes: 2 ** 30 })).resolves.toBeUndefined();
    await expect(checkMetric('trace', run, data.train, { probes: 0 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});
