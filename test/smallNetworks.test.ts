/** MLPs and CNNs: values, derivatives and names against PyTorch, first values, names of runs, and training. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  arrays,
  cnn,
  crossEntropy,
  digits,
  Graph,
  loadRun,
  mlp,
  prepareCNN,
  prepareMLP,
  trainCNN,
  trainMLP,
  Vector,
  type CNNOptions,
  type Model,
  type SmallActivation,
} from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { dense, fillWaves, wave } from './support/waves.js';

type Reference = { names: string[]; logits: number[]; loss: number; grad: number[]; hvp: number[] };
const expected = JSON.parse(readFileSync(new URL('./fixtures/training/small.json', import.meta.url), 'utf8')) as Record<
  string,
  Reference
>;

function modelOf(kind: string): Model {
  const [name, activation, side, drop] = kind.split('-') as [string, SmallActivation, string, string];
  const options = {
    ...{ input: [2, Number(side), Number(side)] as const, classes: 10, activation },
    dropout: drop === 'drop' ? 0.2 : 0,
  };
  return name === 'mlp' ? mlp({ ...options, hidden: [9, 5] }) : cnn({ ...options, size: name as 'small' });
}

test.each(Object.keys(expected))('%s: logits, loss, gradient, Hessian product and names', async (kind) => {
  const model = modelOf(kind);
  const reference = expected[kind]!;
  using graph = new Graph();
  const x = graph.input('x', [3, ...model.input]);
  const logits = model.build(graph, x, { training: false });
  const loss = crossEntropy(logits, graph.input('y', [3], 'index'));
  const hvp = graph.hvp(loss, graph.direction('v'));
  using program = graph.compile({ logits, loss, grad: graph.grad(loss), hvp }, { dtype: 'float64' });
  const { entries, size } = graph.params;
  expect(entries.map(({ name }) => name)).toEqual(reference.names);
  using params = new Vector('float64', 1, size);
  fillWaves(params, entries, 0.5);
  const images = Float64Array.from(wave(3 * model.input.reduce((a, b) => a * b), 0.3));
  const result = await program.run({ x: images, y: [1, 7, 4], params, v: params });
  Array.from(result['logits']!.toArray()).forEach((value, i) => expect(value).toBeCloseTo(reference.logits[i]!, 10));
  expect(result['loss']!.item()).toBeCloseTo(reference.loss, 12);
  for (const key of ['grad', 'hvp'] as const) {
    const row = result[key]!.toArray();
    const norm = Math.sqrt(Array.from(row).reduce((total, value) => total + value * value, 0));
    const sum = entries.reduce((total, entry) => {
      const values = dense(row, [entry]);
      const weights = wave(values.length, 0.5);
      return total + values.reduce((s, value, i) => s + value * weights[i]!, 0);
    }, 0);
    expect(Math.abs(norm / reference[key][0]! - 1)).toBeLessThan(1e-10);
    expect(Math.abs(sum - reference[key][1]!) / norm).toBeLessThan(1e-10);
  }
});

const images28 = () => {
  const images = Uint8Array.from({ length: 60 * 28 * 28 }, (_, i) => (i * i * 31 + ((i / 784) | 0) * 97) % 251);
  return arrays({ images, shape: [60, 1, 28, 28], labels: Array.from({ length: 60 }, (_, i) => i % 3) });
};

test('first values are uniform within sqrt(6 / fan_in), biases 0.01', async () => {
  using run = prepareMLP({
    hidden: [40],
    data: await digits({ train: 100, test: 10 }),
    batchSize: 50,
    epochs: 1,
    seeds: [3],
  });
  const { 'module_list.0.weight': weight, 'module_list.0.bias': bias } = run.stateDict(0);
  const values = Array.from(weight!.data as Float32Array, Math.abs);
  const bound = Math.sqrt(6 / 64);
  expect(Math.max(...values)).toBeLessThanOrEqual(bound);
  expect(Math.max(...values)).toBeGreaterThan(0.99 * bound);
  expect(values.reduce((a, b) => a + b) / values.length).toBeCloseTo(bound / 2, 2);
  expect(new Set(bias!.data as Float32Array)).toEqual(new Set([Math.fround(0.01)]));
  expect(run.parameterCount).toBe(64 * 40 + 40 + 40 * 10 + 10);
  using small = prepareCNN({ data: images28(), batchSize: 20, epochs: 1, seeds: [0] });
  expect(small.parameterCount).toBe(208 + 1206 + 100 + 740 + 63);
});

test('an MLP learns the digits as a population, and its run is opened by its name alone', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ptmz-mlp-'));
  const data = await digits();
  const options = { hidden: [30, 15], activation: 'tanh', bias: false, data, batchSize: 32, seeds: [0, 1] } as const;
  using run = await trainMLP({ ...options, epochs: 8, saveTo: directory });
  for (const accuracy of run.history.at(-1)!.testAccuracy) expect(accuracy).toBeGreaterThan(0.9);
  using loaded = await loadRun(directory, { data });
  expect(loaded.model.name).toBe('mlp-h30x15-tanh-nobias');
  expect(loaded.stateDict(1)).toEqual(run.stateDict(1));
  rmSync(directory, { recursive: true });
}, 30_000);

test('a CNN trains with dropout: its loss falls', async () => {
  using run = await trainCNN({ data: images28(), dropout: 0.1, lr: 0.05, batchSize: 20, epochs: 8, seeds: [0, 1] });
  const losses = run.history.map(({ trainLoss }) => trainLoss);
  losses.at(-1)!.forEach((loss, m) => expect(loss).toBeLessThan(losses[0]![m]!));
});

describe('refused', () => {
  const input = [1, 28, 28] as const;
  test.each<[object, RegExp]>([
    [{ hidden: [] }, /at least one size for hidden/],
    [{ hidden: [3, 0] }, /hidden\[1\].*0/],
    [{ hidden: 3 }, /hidden.*3/],
    [{ hidden: [3], activation: 'swish' }, /'leakyRelu'.*for activation.*'swish'/],
    [{ hidden: [3], dropout: 1 }, /\[0, 1\) for dropout.*1/],
    [{ hidden: [3], width: 2 }, /width/],
  ])('mlp %j', (options, message) => {
    expect(() => mlp({ input, classes: 2, ...options } as never)).toThrow(message);
  });
  test.each<[Partial<CNNOptions> | object, RegExp]>([
    [{ size: 'huge' }, /'small', 'medium', 'large' for size.*'huge'/],
    [{ input: [1, 8, 8] }, /at least 20 x 20 for the small network for input but received 8 x 8/],
    [{ input: [3, 28, 17], size: 'large' }, /at least 22 x 22/],
    [{ bias: false }, /bias/],
  ])('cnn %j', (options, message) => {
    expect(() => cnn({ input, classes: 2, ...options } as never)).toThrow(message);
  });
});
