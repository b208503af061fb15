/** Curvature: Hessian-vector products and traces against PyTorch's dense Hessians and closed forms. */
import { readFileSync } from 'node:fs';
import { arrays, hessianTrace, hvp, prepare, train, Vector, type DataSet, type Run } from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { mlp, points } from './support/models.js';
import { quadratic } from './support/quadratic.js';

interface Dense {
  weights: Record<string, { shape: number[]; data: number[] }>;
  x: number[];
  y: number[];
  dims: [number];
  trace: number;
  frobenius: number;
  diagonal: number[];
  rowSums: number[];
}
const cases = JSON.parse(readFileSync(new URL('./oracle/hessians.json', import.meta.url), 'utf8')) as Record<
  string,
  Dense
>;

/** An untrained population whose every member has the reference's weights. */
function withWeights(reference: Dense, activation: 'tanh' | 'relu', seeds: number[]): { run: Run; data: DataSet } {
  const features = reference.dims[0];
  const n = reference.y.length;
  const data = arrays({
    images: Float32Array.from(reference.x),
    shape: [n, features, 1, 1],
    labels: reference.y,
    normalise: { mean: new Array(features).fill(0), std: new Array(features).fill(1) },
  });
  const outputs = Object.values(reference.weights)
    .map(({ shape }) => shape)
    .filter((shape) => shape.length === 2);
  const sizes = [
    features,
    ...Object.keys(reference.weights)
      .filter((k) => k.endsWith('weight'))
      .sort()
      .map((k) => reference.weights[k]!.shape[0]!),
  ];
  expect(outputs).toHaveLength(sizes.length - 1);
  const model = mlp(sizes, [features, 1, 1], activation);
  const run = prepare({ model, data, batchSize: n, epochs: 1, seeds, dtype: 'float64' });
  for (let member = 0; member < seeds.length; member++)
    for (const { name, offset } of run.layout.params)
      run.vectors.params.set(member, reference.weights[name]!.data, offset);
  return { run, data };
}

/** The Hessian, column by column. */
async function dense(run: Run, data: DataSet, batchSize: number): Promise<number[][]> {
  const positions = run.layout.params.flatMap(({ offset, shape }) =>
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => offset + i),
  );
  using direction = new Vector('float64', 1, run.vectors.params.size);
  const columns: number[][] = [];
  for (const position of positions) {
    direction.fill(0).set(0, [1], position);
    using product = await hvp(run, data.train, direction, { batchSize });
    const all = product.toArray();
    columns.push(positions.map((p) => all[p]!));
  }
  return columns;
}

describe.each([
  ['hessian_mlp_4_6_5_3', 'tanh'],
  ['hessian_mlp_relu_3_8_2', 'relu'],
] as const)('%s of PyTorch', (name, activation) => {
  const reference = cases[name]!;

  test.each([64, 8, 3])('dense Hessian in batches of %i', async (batchSize) => {
    const { run, data } = withWeights(reference, activation, [0]);
    using _ = run;
    const columns = await dense(run, data, batchSize);
    expect(columns).toHaveLength(reference.diagonal.length);
    const worst = (a: number[], b: number[]) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
    const flat = columns.flat();
    expect(
      worst(
        columns.map((column, i) => column[i]!),
        reference.diagonal,
      ),
    ).toBeLessThan(1e-12);
    expect(
      worst(
        columns.map((column) => column.reduce((a, b) => a + b)),
        reference.rowSums,
      ),
    ).toBeLessThan(1e-11);
    expect(Math.sqrt(flat.reduce((sum, x) => sum + x * x, 0))).toBeCloseTo(reference.frobenius, 11);
    expect(
      worst(
        flat,
        flat.map((_, i) => columns[i % columns.length]![Math.floor(i / columns.length)]!),
      ),
    ).toBeLessThan(1e-13);
  });

  test('Hutchinson is within four standard errors', async () => {
    const { run, data } = withWeights(reference, activation, [3, 4]);
    using _ = run;
    const { trace, standardError, samples } = await hessianTrace(run, data.train, { probes: 200, batchSize: 8 });
    for (const m of [0, 1]) {
      expect(samples[m]).toHaveLength(200);
      const mean = samples[m]!.reduce((a, b) => a + b) / 200;
      const variance = samples[m]!.reduce((a, x) => a + (x - mean) ** 2, 0) / 199;
      expect(trace[m]).toBeCloseTo(mean, 12);
      expect(standardError[m]).toBeCloseTo(Math.sqrt(variance / 200), 12);
      expect(Math.abs(trace[m]! - reference.trace)).toBeLessThan(4 * standardError[m]!);
    }
    expect(samples[0]).not.toEqual(samples[1]);
  });
});

describe('hessianTrace', () => {
  const curvatures = [3, -1, 0.5];
  const model = quadratic(curvatures);
  const data = points(10, 3, 3);

  test('is exact where the Hessian is diagonal, and stops at once when asked for precision', async () => {
    using run = prepare({ model, data, batchSize: 10, epochs: 1, seeds: [0, 1], dtype: 'float64' });
    const options = { probes: 100, block: 5, rtol: 0.01, batchSize: 4 };
    const { trace, standardError, samples } = await hessianTrace(run, data.train, options);
    for (const m of [0, 1]) {
      expect(trace[m]).toBeCloseTo(2.5, 12);
      expect(standardError[m]).toBeLessThan(1e-12);
      expect(samples[m]).toHaveLength(5);
    }
  });

  test('probes depend on the seeds alone: not on blocks, threads, or who else is there', async () => {
    const model = mlp([3, 4, 3], [3, 1, 1]);
    const make = (seeds: number[]) => prepare({ model, data, batchSize: 10, epochs: 1, seeds });
    using three = make([5, 6, 7]);
    using one = make([6]);
    const all = await hessianTrace(three, data.train, { probes: 7, block: 16, threads: 2 });
    const alone = await hessianTrace(one, data.train, { probes: 7, block: 3, threads: 1 });
    expect(all.samples[1]).toEqual(alone.samples[0]);
    const longer = await hessianTrace(one, data.train, { probes: 9 });
    expect(longer.samples[0]!.slice(0, 7)).toEqual(alone.samples[0]);
    const other = await hessianTrace(one, data.train, { probes: 7, seed: 1 });
    expect(other.samples[0]).not.toEqual(alone.samples[0]);
  });

  test('one sample has no standard error; progress ends at 1', async () => {
    using run = prepare({ model, data, batchSize: 10, epochs: 1, seeds: [0] });
    const seen: number[] = [];
    const onProgress = ({ fraction }: { fraction: number }) => seen.push(fraction);
    const { standardError } = await hessianTrace(run, data.train, { probes: 1, onProgress });
    expect(standardError).toEqual([NaN]);
    expect(seen.at(-1)).toBe(1);
  });

  test('takes the first samples, in evaluation mode, of a trained network', async () => {
    const set = points(30, 4, 3);
    using run = await train({ model: mlp([4, 5, 3], [4, 1, 1]), data: set, batchSize: 7, epochs: 2, seeds: [0] });
    const some = await hessianTrace(run, set.train, { probes: 3, samples: 12 });
    const more = await hessianTrace(run, set.train, { probes: 3 });
    expect(some.trace[0]).not.toBe(more.trace[0]);
    expect(Number.isFinite(some.trace[0])).toBe(true);
  });

  test('an abort rejects with its reason and leaves the run usable', async () => {
    using run = prepare({ model: mlp([3, 4, 3], [3, 1, 1]), data, batchSize: 10, epochs: 1, seeds: [0] });
    const controller = new AbortController();
    const reason = new Error('enough');
    const running = hessianTrace(run, data.train, { probes: 10_000_000, signal: controller.signal });
    setTimeout(() => controller.abort(reason), 30);
    await expect(running).rejects.toBe(reason);
    await expect(hessianTrace(run, data.train, { signal: controller.signal })).rejects.toBe(reason);
    const { trace } = await hessianTrace(run, data.train, { probes: 2 });
    expect(Number.isFinite(trace[0])).toBe(true);
  });

  test('options are checked', async () => {
    using run = prepare({ model, data, batchSize: 10, epochs: 1, seeds: [0] });
    const call = (options: object, split: unknown = data.train) => hessianTrace(run, split as never, options);
    await expect(call({ probes: 0 })).rejects.toThrow(/probes.*0/);
    await expect(call({ rtol: -1 })).rejects.toThrow(/rtol.*-1/);
    await expect(call({ samples: 11 })).rejects.toThrow(/samples.*11/);
    await expect(call({ probe: 1 })).rejects.toThrow(/probe/);
    await expect(call({}, data)).rejects.toThrow(/data\.train/);
    await expect(call({}, points(5, 2, 3).train)).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' });
    using wrong = new Vector('float32', 1, 7);
    await expect(hvp(run, data.train, wrong)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});
