/** Precisions of products on a CUDA device: told apart by their errors, part of a run, refused where there are none. */
import { arrays, evaluate, Graph, hessianTrace, linear, loadRun, train, type Model } from 'ptmz-native';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ptmz } from '../support/cli.js';

const directory = mkdtempSync(join(tmpdir(), 'ptmz-precision-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const cuda = { device: 'cuda' } as const;
const reduced = ['tf32', 'bf16'] as const;

/** To the nearest number with so many bits behind the point. */
function rounded(x: number, bits: number): number {
  if (x === 0) return 0;
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(x))) - bits);
  return Math.round(x / unit) * unit;
}

describe('a product', () => {
  const [m, n, k] = [128, 120, 150];
  const values = (length: number, step: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * step) + 0.1);
  const [a, b] = [values(m * k, 0.7), values(k * n, 0.3)];

  test.each([
    ['float32', 23],
    ['tf32', 10],
    ['bf16', 7],
  ] as const)('in %s is that of factors with %i bits', async (precision, bits) => {
    using graph = new Graph();
    const y = graph.input('a', [m, k]).matmul(graph.input('b', [k, n]));
    using program = graph.compile({ y }, { ...cuda, precision });
    const { y: result } = await program.run({ a, b });
    const got = result!.toArray(0) as Float32Array;
    result!.dispose();
    for (const i of [0, 1, n + 3, m * n - 1]) {
      const [row, column] = [Math.floor(i / n), i % n];
      let [exact, expected] = [0, 0];
      for (let p = 0; p < k; ++p) {
        exact += a[row * k + p]! * b[p * n + column]!;
        expected += rounded(a[row * k + p]!, bits) * rounded(b[p * n + column]!, bits);
      }
      expect(Math.abs(got[i]! - expected)).toBeLessThan(1e-4);
      if (bits < 23) expect(Math.abs(got[i]! - exact)).toBeGreaterThan(1e-6);
      expect(Math.abs(got[i]! - exact)).toBeLessThan(2 * k * 2 ** -(bits + 1) + 1e-4);
    }
  });

  test('that is not for cuBLAS is one in float32', async () => {
    const results = [];
    for (const precision of ['float32', 'bf16'] as const) {
      using graph = new Graph();
      const y = graph.input('a', [4, 5]).matmul(graph.input('b', [5, 3]));
      using program = graph.compile({ y }, { ...cuda, precision });
      const { y: result } = await program.run({ a: a.subarray(0, 20), b: b.subarray(0, 15) });
      results.push([...(result!.toArray(0) as Float32Array)]);
      result!.dispose();
    }
    expect(results[1]).toEqual(results[0]);
  });
});

describe('a training', () => {
  const model: Model = {
    name: 'wide layer',
    input: [1, 16, 16],
    classes: 64,
    build: (graph, x) =>
      linear(x.reshape([-1, 256]), graph.param('w', [64, 256], { init: { kind: 'kaimingUniform' } })),
  };
  const images = Float32Array.from({ length: 160 * 256 }, (_, i) => Math.sin(i * i * 0.01));
  const labels = Array.from({ length: 160 }, (_, i) => (i * 7) % 64);
  const data = arrays({ images, shape: [160, 1, 16, 16], labels, classes: 64 });
  const settings = { ...{ model, data, batchSize: 160, epochs: 2, seeds: [3], lr: 0.5 }, ...cuda } as const;

  test.each(reduced)('in %s is near that in float32, and not the same', async (precision) => {
    using exact = await train(settings);
    using run = await train({ ...settings, precision });
    expect(run.settings.precision).toBe(precision);
    expect(exact.settings).not.toHaveProperty('precision');
    const [loss, reference] = [run, exact].map(({ history }) => history.at(-1)!.trainLoss[0]!);
    expect(loss).not.toBe(reference);
    expect(loss! / reference!).toBeCloseTo(1, precision === 'tf32' ? 3 : 2);
    // Evaluated and measured in the same precision.
    const few = { samples: 160, batchSize: 160, probes: 1 };
    const [own, other] = [await evaluate(run, data.train), await hessianTrace(run, data.train, few)];
    expect(own.loss[0]).not.toBe((await evaluate(exact, data.train)).loss[0]);
    expect(other.trace[0]).not.toBe((await hessianTrace(exact, data.train, few)).trace[0]);
  });

  test('its precision belongs to the run that is saved', async () => {
    const saveTo = join(directory, 'run');
    using run = await train({ ...settings, precision: 'tf32', saveTo, until: 1 });
    using same = await loadRun(saveTo, { model, data, ...cuda });
    expect([same.settings.precision, same.warnings]).toEqual(['tf32', []]);
    await expect(loadRun(saveTo, { model, data })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: "Expected a CUDA device for precision 'tf32' but received 'cpu', which has 'float32' only",
    });
    using other = await loadRun(saveTo, { model, data, precision: 'float32' });
    expect(other.settings).not.toHaveProperty('precision');
    expect(other.warnings).toContainEqual(expect.stringContaining("precision was 'tf32' and is 'float32'"));
    await expect(other.train({ saveTo })).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH' });
    await run.train();
    await same.train();
    expect(same.history).toEqual(run.history);
  });
});

test('--precision on the command line', async () => {
  const small = [
    '--data',
    'digits',
    '--train-samples',
    '16',
    '--test-samples',
    '8',
    '--width',
    '2',
    '--batch-size',
    '8',
  ];
  const begin = ['train', ...small, '--epochs', '1', '--device', 'cuda', '--precision', 'tf32', '--out', 'cli'];
  const trained = await ptmz(directory, begin);
  expect(`${trained.code} ${trained.code === 0 ? '' : trained.stderr}`).toBe('0 ');
  const measure = ['measure', 'cli', '--only', 'trace', '--samples', '4', '--probes', '1'];
  const refused = await ptmz(directory, measure);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toMatch(/UNSUPPORTED|CUDA device for precision 'tf32'/);
  const measured = await ptmz(directory, [...measure, '--precision', 'float32']);
  expect(`${measured.code} ${measured.code === 0 ? '' : measured.stderr}`).toBe('0 ');
  expect(measured.stderr).toContain("precision was 'tf32' and is 'float32'");
}, 120_000);
