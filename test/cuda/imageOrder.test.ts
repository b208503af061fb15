/** Images whose channels lie last on a device: the CPU's numbers in whole networks, whatever the order. */
import { arrays, crossEntropy, Graph, resnet, train, vit, type Model, type Program } from 'ptmz-native';
import { expect, test } from 'vitest';

/** Read when a device is first used; every test file is a process of its own. */
const variable = 'PTMZ_CUDA_CHANNELS_LAST';

const wave = (length: number, step: number): number[] => Array.from({ length }, (_, i) => Math.sin(i * step) / 3);

/** The largest difference relative to the largest number. */
function gap(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  const largest = Array.from(a).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  expect(largest).toBeGreaterThan(0);
  return Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0) / largest;
}

test('a number of channels that is none is refused', () => {
  using graph = new Graph();
  const y = graph.input('x', [2]).sum();
  for (const text of ['0', '-8', 'NHWC']) {
    process.env[variable] = text;
    const refusal = `${variable}: expected a whole number of at least 1, got '${text}'`;
    expect(() => graph.compile({ y }, { device: 'cuda' })).toThrow(refusal);
  }
  process.env[variable] = '4';
  graph.compile({ y }, { device: 'cuda' }).dispose();
});

/** What copies weights into the order of their images. */
const copies = /map \[\d+,\d+,9\] \S+ <- params/;
const input = [3, 32, 32] as const;

test.each<[string, Model, RegExp]>([
  ['ResNet-18 of width 2', resnet({ depth: 18, width: 2, input: [3, 16, 16], classes: 10 }), copies],
  ['ResNet-50 with a pooling stem', resnet({ depth: 50, width: 4, input, classes: 10, stem: 'imagenet' }), copies],
  ['ViT', vit({ input, patch: 16, dim: 16, depth: 1, heads: 2, classes: 10 }), /conv2d \[3,3,32,32,16,2,2\]/],
])('%s: loss, gradient and Hessian-vector product of two members', async (_, model, launches) => {
  using graph = new Graph();
  const logits = model.build(graph, graph.input('x', [3, ...model.input]), { training: true });
  const loss = crossEntropy(logits, graph.input('y', [3], 'index'));
  const outputs = { loss, grad: graph.grad(loss), hvp: graph.hvp(loss, graph.direction('v')) };
  const run = async (program: Program) => {
    const inputs = Object.fromEntries(
      program.inputs.map(({ name, kind, size, varies }, i) => [
        name,
        kind === 'index' ? [1, 7, 4] : wave(varies ? 2 * size : size, 0.37 + i / 10),
      ]),
    );
    const results = await program.run(inputs, { members: 2 });
    return Object.values(results).map((vector) => [0, 1].flatMap((m) => Array.from(vector.toArray(m) as Float64Array)));
  };
  const on = (device: string) => graph.compile(outputs, { device, dtype: 'float64', varying: ['params'] });
  using program = on('cuda');
  expect(program.dump()).toMatch(launches);
  using cpu = on('cpu');
  const [expected, got] = [await run(cpu), await run(program)];
  // Batch norms over three numbers, as behind the pooling stem, make rounding larger in every derivative.
  const tolerances = [1e-10, 1e-8, 1e-6];
  expected.forEach((values, i) => expect(gap(values, got[i]!)).toBeLessThan(tolerances[i]!));
});

test('a training of three members ends with the same parameters', async () => {
  const images = Uint8Array.from({ length: 24 * 3 * 8 * 8 }, (_, i) => (i * 37) % 251);
  const labels = Array.from({ length: 24 }, (_, i) => (i * i) % 3);
  const normalise = { mean: [0.4, 0.5, 0.6], std: [0.3, 0.3, 0.3] };
  const data = arrays({ images, shape: [24, 3, 8, 8], labels, classes: 3, normalise });
  const model = resnet({ depth: 18, width: 2, input: [3, 8, 8], classes: 3 });
  const options = { model, data, batchSize: 10, epochs: 2, seeds: [1, 2, 3], lr: 0.05, dtype: 'float64' } as const;
  using cpu = await train(options);
  using cuda = await train({ ...options, device: 'cuda' });
  for (const member of [0, 1, 2]) {
    const [a, b] = [cpu, cuda].map((run) => run.vectors.params.toArray(member) as Float64Array);
    expect(gap(a!, b!)).toBeLessThan(1e-9);
  }
});
