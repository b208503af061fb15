/** Batch norm's fused kernels, in plain layout and with images in the lanes, against its composite in float64. */
import { describe, expect, test } from 'vitest';
import {
  batchNorm,
  conv2d,
  type Flat,
  Graph,
  type Program,
  type Shape,
  type Value,
  type Vector,
} from '../lib/index.js';
import { count, uniform } from './ops/tensor.js';

interface Setup {
  shape: Shape;
  residual: boolean;
  relu: boolean;
  /** A 1x1 convolution before it hands its images over in the lanes. */
  conv: boolean;
}

const names = ['x', 'kernel', 'w', 'b', 'r'] as const;
type Name = (typeof names)[number];

function build({ shape, residual, relu, conv }: Setup) {
  const graph = new Graph();
  const channels = shape[1]!;
  const shapes: Record<Name, Shape> = {
    x: shape,
    kernel: [channels, channels, 1, 1],
    w: [channels],
    b: [channels],
    r: shape,
  };
  const value = Object.fromEntries(names.map((name) => [name, graph.input(name, shapes[name])])) as Record<Name, Value>;
  const runningMean = graph.buffer('mean', [channels]);
  const runningVar = graph.buffer('var', [channels]);
  const y = batchNorm(conv ? conv2d(value.x, value.kernel) : value.x, {
    ...{ weight: value.w, bias: value.b, runningMean, runningVar, relu },
    ...(residual && { residual: value.r }),
  });
  const used = names.filter((name) => (name !== 'kernel' || conv) && (name !== 'r' || residual));
  const loss = y.mul(graph.input('u', shape)).sum();
  const gradients = graph.grad(
    loss,
    used.map((name) => value[name]),
  );
  const outputs: Record<string, Value | Flat> = {
    y,
    buffers: graph.updatedBuffers,
    ...Object.fromEntries(used.map((n, i) => [n + "'", gradients[i]])),
  };
  return { graph, outputs, shapes: { ...shapes, u: shape }, used };
}

async function evaluate(setup: Setup, dtype: 'float32' | 'float64', fuse: boolean, offset: number) {
  const { graph, outputs, shapes, used } = build(setup);
  using _ = graph;
  using program: Program = graph.compile(outputs, { dtype, fuse });
  const kernels: string[] = program.dump().match(/batch_\w+|to_lanes/g) ?? [];
  const inputs = Object.fromEntries(
    [...used, 'u'].map((name, i) => {
      const data = uniform(i + 1, count(shapes[name as Name]));
      return [name, data.map((v) => (name === 'x' ? v + offset : v))];
    }),
  );
  using buffers = program.vector('buffers', 1);
  const out = (await program.run({ ...inputs, buffers }, { members: 1 })) as Record<string, Vector>;
  const result = Object.fromEntries(Object.entries(out).map(([name, vector]) => [name, Array.from(vector.toArray(0))]));
  expect(result['y']).toHaveLength(count(setup.shape));
  return { result: result as Record<string, number[]>, kernels };
}

function relativeError(actual: readonly number[], expected: readonly number[]): number {
  const norm = (values: readonly number[]) => Math.hypot(...values);
  return norm(actual.map((a, i) => a - expected[i]!)) / (norm(expected) || 1);
}

const shapes: Shape[] = [
  [32, 8, 8, 9],
  [8, 9, 11, 10],
  [24, 8, 9, 9],
  [13, 8, 9, 9],
  [5, 3, 4, 5],
  [7, 2, 1, 9],
];

describe.each(shapes)('%i x %i x %i x %i', (...shape) => {
  const setups = [false, true].flatMap((residual) =>
    [false, true].flatMap((relu) => [false, true].map((conv) => ({ shape, residual, relu, conv }))),
  );
  test('a convolution with enough to do hands its images over in the lanes', async () => {
    const { kernels } = await evaluate({ shape, residual: true, relu: true, conv: true }, 'float32', true, 0);
    expect(kernels.includes('to_lanes')).toBe(2 * count(shape) * shape[1]! >= 1e5);
  });

  test.each(setups)('residual $residual, relu $relu, after a convolution $conv', async (setup) => {
    const exact = await evaluate(setup, 'float64', false, 0);
    expect(exact.kernels.filter((name) => name !== 'to_lanes')).toEqual([]);
    for (const dtype of ['float32', 'float64'] as const) {
      const { result, kernels } = await evaluate(setup, dtype, true, 0);
      expect(new Set(kernels)).toContain('batch_norm_backward_input');
      for (const [name, values] of Object.entries(exact.result))
        expect([name, relativeError(result[name]!, values)]).toEqual([
          name,
          expect.toSatisfy((error: number) => error < (dtype === 'float64' ? 1e-13 : 2e-6)),
        ]);
    }
  });
});

test('an offset of 1,000 costs no more digits than the numbers themselves have lost', async () => {
  const setup = { shape: [32, 2, 16, 16], residual: false, relu: true, conv: false };
  const exact = await evaluate(setup, 'float64', false, 1000);
  const fused = await evaluate(setup, 'float32', true, 1000);
  // x = 1000 + 0.5 has a spacing of 6e-5: values of size 1 cannot be better than that.
  for (const name of ['y', "x'", "w'", "b'"])
    expect(relativeError(fused.result[name]!, exact.result[name]!)).toBeLessThan(2e-4);
  expect(relativeError(fused.result['buffers']!, exact.result['buffers']!)).toBeLessThan(1e-6);
});
