/** Evaluation and curvature on a CUDA device: the CPU's numbers within rounding, over samples that lie there. */
import {
  digits,
  evaluate,
  hessianEigenvalues,
  hessianSpectrum,
  hessianTrace,
  hvp,
  prepare,
  prepareResNet,
  Vector,
  type Run,
} from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { mlp, points } from '../support/models.js';

const data = points(22, 6, 3, true);
const settings = {
  model: mlp([6, 5, 3], [6, 1, 1]),
  data,
  batchSize: 8,
  epochs: 1,
  seeds: [3, 1],
  dtype: 'float64',
} as const;
const onBoth = () => [prepare(settings), prepare({ ...settings, device: 'cuda' })] as const;

/** Numbers of two results, place by place. */
function expectClose(actual: unknown, expected: unknown, tolerance: number): void {
  const [a, b] = [actual, expected].map((x) => JSON.parse(JSON.stringify(x, null, 0)) as unknown);
  const flat = (x: unknown): unknown[] => (typeof x === 'object' && x !== null ? Object.values(x).flatMap(flat) : [x]);
  const [left, right] = [flat(a), flat(b)];
  expect(left).toHaveLength(right.length);
  const scale = Math.max(1, ...right.map((x) => Math.abs(Number(x))));
  left.forEach((x, i) => {
    if (typeof x === 'number') expect(Math.abs(x - Number(right[i]))).toBeLessThan(tolerance * scale);
    else expect(x).toBe(right[i]);
  });
}

describe('as on the CPU', () => {
  const measures: [string, (run: Run) => Promise<unknown>][] = [
    ['evaluate', (run) => evaluate(run, data.train)],
    ['trace', (run) => hessianTrace(run, data.train, { probes: 5, block: 2, batchSize: 8 })],
    ['trace, all at once', (run) => hessianTrace(run, data.train, { probes: 3, batchSize: 50 })],
    ['eigenvalues', (run) => hessianEigenvalues(run, data.train, { count: 2, batchSize: 5 })],
    ['eigenvalues by power iteration', (run) => hessianEigenvalues(run, data.train, { method: 'power', steps: 8 })],
    ['spectrum', (run) => hessianSpectrum(run, data.train, { runs: 2, steps: 6, bins: 20 })],
  ];
  test.each(measures)('%s', async (_, measure) => {
    const [cpu, gpu] = onBoth();
    using _cpu = cpu;
    using _gpu = gpu;
    expectClose(await measure(gpu), await measure(cpu), 1e-8);
  });

  test.each(['cpu', 'cuda'])('a product with directions on %s', async (device) => {
    const [cpu, gpu] = onBoth();
    using _cpu = cpu;
    using _gpu = gpu;
    const draw = { distribution: 'normal', seeds: [1, 2] } as const;
    using given = new Vector('float64', 2, gpu.vectorSize, device).random(draw);
    using same = new Vector('float64', 2, cpu.vectorSize).random(draw);
    using product = await hvp(gpu, data.train, given, { batchSize: 8 });
    using expected = await hvp(cpu, data.train, same, { batchSize: 8 });
    expect(product.device).toBe('cpu');
    for (const m of [0, 1]) expectClose([...product.toArray(m)], [...expected.toArray(m)], 1e-10);
  });

  test('a ResNet in float32', async () => {
    const images = await digits({ train: 12, test: 8 });
    const options = { depth: 18, width: 2, data: images, batchSize: 8, epochs: 1, seeds: [0] } as const;
    using cpu = prepareResNet(options);
    using gpu = prepareResNet({ ...options, device: 'cuda' });
    expectClose(await evaluate(gpu, images.train), await evaluate(cpu, images.train), 1e-4);
    const few = { probes: 1, samples: 6, batchSize: 6 };
    expectClose(await hessianTrace(gpu, images.train, few), await hessianTrace(cpu, images.train, few), 1e-2);
  });
});

test('probes of one call do not depend on how many run together, bit for bit', async () => {
  using run = prepare({ ...settings, device: 'cuda' });
  const one = await hessianTrace(run, data.train, { probes: 4, block: 1 });
  const four = await hessianTrace(run, data.train, { probes: 4, block: 4 });
  expect(one.samples).toEqual(four.samples);
});

describe('errors', () => {
  test('probes must lie on the cpu', async () => {
    using run = prepare({ ...settings, device: 'cuda' });
    using vectors = new Vector('float64', 2, run.vectorSize, 'cuda');
    await expect(hessianTrace(run, data.train, { probes: 1, vectors })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/a Vector on the cpu for vectors but received one on cuda:0/) as string,
    });
  });

  test('a Hessian that is not finite names its member', async () => {
    using run = prepare({ ...settings, device: 'cuda' });
    run.vectors.params.set(1, [NaN]);
    await expect(hessianTrace(run, data.train, { probes: 1 })).rejects.toMatchObject({
      code: 'NON_FINITE',
      message: expect.stringContaining('member 1') as string,
    });
  });

  test('an abort', async () => {
    using run = prepare({ ...settings, device: 'cuda' });
    const job = hessianTrace(run, data.train, { probes: 100_000, signal: AbortSignal.timeout(30) });
    await expect(job).rejects.toMatchObject({ name: 'TimeoutError' });
    expect((await evaluate(run, data.train)).loss).toHaveLength(2);
  });
});
