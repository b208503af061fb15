/** Layers and losses: edges, extremes and misuse. Values and derivatives are checked in test/ops. */
import { describe, expect, test } from 'vitest';
import * as nn from '../lib/index.js';
import type { Graph, Program, RunInput, Value } from '../lib/index.js';
import { codeOf } from './support/graphs.js';

async function run(program: Program, inputs: Record<string, RunInput>) {
  const results = await program.run(inputs);
  return Object.fromEntries(Object.entries(results).map(([name, v]) => [name, Array.from(v.toArray())]));
}

describe('finite to second order in float32', () => {
  const extremes = [0, -0, 1e4, -1e4, 88, -88, 104, -104, 1e-4, -1e-4, 1, -1];
  const n = extremes.length;
  const functions: Record<string, (x: Value, graph: Graph) => Value> = {
    relu: nn.relu,
    leakyRelu: (x) => nn.leakyRelu(x),
    abs: (x) => x.abs(),
    sigmoid: (x) => x.sigmoid(),
    silu: nn.silu,
    softplus: nn.softplus,
    gelu: (x) => nn.gelu(x),
    'gelu tanh': (x) => nn.gelu(x, 'tanh'),
    maximum: (x) => x.maximum(0),
    square: (x) => x.square(),
    softmax: (x) => nn.softmax(x),
    logSoftmax: (x) => nn.logSoftmax(x),
    logsumexp: (x) => x.logsumexp(),
    var: (x) => x.var(),
    layerNorm: (x) => nn.layerNorm(x),
    'layerNorm of equal numbers': (x) => nn.layerNorm(x.reshape([n, 1]).expand([n, 4])),
    batchNorm: (x) => nn.batchNorm(x.reshape([n / 2, 2])),
    attention: (x) => {
      const q = x.reshape([n, 1]);
      return nn.attention(q, q, q, { causal: true });
    },
    crossEntropy: (x, graph) => nn.crossEntropy(x.reshape([3, 4]), graph.input('t', [3], 'index'), { ignoreIndex: 1 }),
  };

  test.each(Object.entries(functions))('%s', async (_, f) => {
    using graph = new nn.Graph();
    const x = graph.input('x', [n]);
    const y = f(x, graph);
    // Not the plain sum, whose second derivative is zero for softmax.
    const weights = graph
      .iota([y.shape.reduce((a, b) => a * b, 1)], 0)
      .add(1)
      .reshape(y.shape);
    const g = graph.grad(y.mul(weights).sum(), x);
    const h = graph.grad(g.mul(graph.iota([n], 0)).sum(), x);
    using program = graph.compile({ y, g, h });
    const given = { x: extremes, t: [0, 1, 3] };
    const used = Object.entries(given).filter(([name]) => graph.slots.has(name));
    const result = await run(program, Object.fromEntries(used));
    for (const [name, values] of Object.entries(result))
      expect(values.every(Number.isFinite), `${name}: ${values}`).toBe(true);
  });

  test('softplus and sigmoid at 0', async () => {
    using graph = new nn.Graph();
    const x = graph.input('x', []);
    const g = graph.grad(nn.softplus(x), x);
    using program = graph.compile({ g, h: graph.grad(g, x) }, { dtype: 'float64' });
    expect(await run(program, { x: [0] })).toEqual({ g: [0.5], h: [0.25] });
  });
});

describe('ties and special numbers, as torch', () => {
  const gradientOf = async (f: (x: Value) => Value, values: number[]) => {
    using graph = new nn.Graph();
    const x = graph.input('x', [values.length]);
    const y = f(x);
    using program = graph.compile({ y, g: graph.grad(y.sum(), x) });
    return run(program, { x: values });
  };

  test('derivatives at 0', async () => {
    expect((await gradientOf((x) => x.relu(), [-1, 0, 2])).g).toEqual([0, 0, 1]);
    expect((await gradientOf((x) => x.abs(), [-1, 0, 2])).g).toEqual([-1, 0, 1]);
    expect((await gradientOf((x) => x.maximum(0), [-1, 0, 2])).g).toEqual([0, 0.5, 1]);
    expect((await gradientOf((x) => nn.leakyRelu(x, 0.25), [-1, 0, 2])).g).toEqual([0.25, 0.25, 1]);
  });

  test('equal maxima share the gradient', async () => {
    expect((await gradientOf((x) => x.amax(), [3, 1, 3])).g).toEqual([0.5, 0, 0.5]);
  });

  test('NaN goes through', async () => {
    for (const f of [nn.relu, (x: Value) => x.abs(), (x: Value) => x.maximum(0), (x: Value) => nn.leakyRelu(x)])
      expect((await gradientOf(f, [NaN, 1])).y).toEqual([NaN, 1]);
  });

  test('logsumexp of infinities', async () => {
    expect((await gradientOf((x) => x.logsumexp(), [-Infinity, -Infinity])).y).toEqual([-Infinity]);
    expect((await gradientOf((x) => x.logsumexp(), [-Infinity, 2])).y).toEqual([2]);
    expect((await gradientOf((x) => x.logsumexp(), [Infinity, 2])).y).toEqual([Infinity]);
  });
});

describe('batchNorm', () => {
  test('running statistics: unbiased variance, momentum, and every use of the layer counts', async () => {
    using graph = new nn.Graph();
    const x = graph.input('x', [4, 1]);
    const runningMean = graph.buffer('mean', [1]);
    const runningVar = graph.buffer('var', [1]);
    nn.batchNorm(x, { runningMean, runningVar, momentum: 0.25 });
    using once = graph.compile({ next: graph.updatedBuffers }, { dtype: 'float64' });
    nn.batchNorm(x.add(10), { runningMean, runningVar, momentum: 0.25 });
    using twice = graph.compile({ next: graph.updatedBuffers }, { dtype: 'float64' });
    const buffers = new Array(128).fill(0);
    [buffers[0], buffers[64]] = [8, 1];
    const inputs = { x: [1, 2, 3, 6], buffers };
    const first = (await run(once, inputs)).next!;
    expect([first[0], first[64]]).toEqual([0.75 * 8 + 0.25 * 3, expect.closeTo(0.75 + (0.25 * 14) / 3, 14)]);
    const second = (await run(twice, inputs)).next!;
    expect(second[0]).toBeCloseTo(0.75 * first[0]! + 0.25 * 13, 14);
  });

  test('evaluation leaves the statistics alone', () => {
    using graph = new nn.Graph();
    const [runningMean, runningVar] = [graph.buffer('mean', [3]), graph.buffer('var', [3])];
    nn.batchNorm(graph.input('x', [2, 3]), { runningMean, runningVar, training: false });
    expect(graph.updated(runningMean)).toBe(runningMean);
  });
});

describe('layerNorm', () => {
  test('of a mean a thousand times the deviation, in float32, as the composite in float64', async () => {
    using graph = new nn.Graph();
    const x = graph.input('x', [6, 40]);
    const y = nn.layerNorm(x, { weight: graph.input('w', [40]), bias: graph.input('b', [40]) });
    const g = graph.grad(y.mul(graph.input('u', [6, 40])).sum(), x);
    const wave = (n: number, phase: number) => Array.from({ length: n }, (_, i) => Math.fround(Math.sin(i + phase)));
    const inputs = {
      x: wave(240, 1).map((value) => Math.fround(1000 + value)),
      ...{ w: wave(40, 2), b: wave(40, 3), u: wave(240, 4) },
    };
    const [fused, exact] = await Promise.all(
      (['float32', 'float64'] as const).map(async (dtype) => {
        using program = graph.compile({ y, g }, { dtype, fuse: dtype === 'float32' });
        return run(program, inputs);
      }),
    );
    for (const name of ['y', 'g'])
      fused![name]!.forEach((value, i) => expect(Math.abs(value - exact![name]![i]!)).toBeLessThan(2e-6));
  });
});

describe('multiHeadAttention', () => {
  const bytes = (time: number, gradient: boolean) => {
    using graph = new nn.Graph();
    const qkv = graph.input('qkv', [1, time, 3 * 8]);
    const y = nn.multiHeadAttention(qkv, 2, { causal: true });
    using program = graph.compile(gradient ? { g: graph.grad(y.square().sum(), qkv) } : { y });
    return program.plan.sharedBytes + program.plan.memberBytes;
  };

  test.each([false, true])('memory grows with the time, not with its square (gradient: %s)', (gradient) => {
    expect(bytes(2048, gradient)).toBeLessThan(2.5 * bytes(1024, gradient));
    expect(bytes(2048, gradient)).toBeLessThan(2 * 2048 ** 2);
  });

  test('of heads longer than the kernels hold is the composite', async () => {
    const values = (heads: number, size: number) => Array.from({ length: 3 * 3 * heads * size }, (_, i) => Math.sin(i));
    const [long, short] = await Promise.all(
      [true, false].map(async (fuse) => {
        using graph = new nn.Graph();
        const y = nn.multiHeadAttention(graph.input('qkv', [1, 3, 3 * 520]), 1);
        using program = graph.compile({ y }, { dtype: 'float64', fuse });
        return (await run(program, { qkv: values(1, 520) })).y!;
      }),
    );
    expect(long).toEqual(short);
  });
});

describe('crossEntropy', () => {
  const losses = async (options: nn.CrossEntropyOptions, target: number[], fuse: boolean) => {
    using graph = new nn.Graph();
    const x = graph.input('x', [3, 2]);
    const loss = nn.crossEntropy(x, graph.input('t', [3], 'index'), options);
    using program = graph.compile({ loss, g: graph.grad(loss.sum(), x) }, { dtype: 'float64', fuse });
    return run(program, { x: [1, 2, -1, 0, 3, 3], t: target });
  };

  test('the fused kernel equals its composite', async () => {
    for (const options of [
      {},
      { ignoreIndex: -100 },
      { labelSmoothing: 0.2 },
      { ignoreIndex: 1, labelSmoothing: 0.3 },
    ]) {
      const [fused, composite] = [await losses(options, [0, 1, 0], true), await losses(options, [0, 1, 0], false)];
      for (const name of ['loss', 'g'])
        fused[name]!.forEach((value, i) => expect(value).toBeCloseTo(composite[name]![i]!, 13));
    }
  });

  test('ignored rows have no loss and no gradient', async () => {
    const { loss, g } = await losses({ ignoreIndex: -100, reduction: 'none' }, [-100, 1, -100], true);
    expect([loss![0], loss![2], ...g!.slice(0, 2), ...g!.slice(4)]).toEqual([0, 0, 0, 0, 0, 0]);
    expect(loss![1]).toBeGreaterThan(0);
  });

  test('the mean over nothing is NaN, as torch', async () => {
    expect((await losses({ ignoreIndex: 7 }, [7, 7, 7], true)).loss).toEqual([NaN]);
  });

  test.each([true, false])('a target outside the classes is an error (fused: %s)', async (fuse) => {
    await expect(losses({}, [0, 2, 1], fuse)).rejects.toMatchObject({ code: 'INDEX_OUT_OF_RANGE' });
    await expect(losses({}, [0, -100, 1], fuse)).rejects.toMatchObject({ code: 'INDEX_OUT_OF_RANGE' });
  });
});

describe('dropout', () => {
  test('p = 0 is the value itself, p = 1 is zero', async () => {
    using graph = new nn.Graph();
    const x = graph.input('x', [3]);
    expect(nn.dropout(x, 0)).toBe(x);
    using program = graph.compile({ y: nn.dropout(x, 1) });
    expect((await run(program, { x: [1, 2, 3], key: nn.randomKey(1) })).y).toEqual([0, 0, 0]);
  });

  test('the gradient has the same mask, scaled', async () => {
    using graph = new nn.Graph();
    const x = graph.input('x', [100]);
    const y = nn.dropout(x, 0.2);
    using program = graph.compile({ y, g: graph.grad(y.sum(), x) }, { dtype: 'float64' });
    const { y: values, g } = await run(program, { x: Array(100).fill(1), key: nn.randomKey(1) });
    expect(values).toEqual(g);
    expect(new Set(g)).toEqual(new Set([0, 1.25]));
    expect(g!.filter((v) => v === 0).length).toBeGreaterThan(8);
  });
});

describe('conv2d', () => {
  test('a small grouped convolution, cut into several blocks, gives the same bits in every run', async () => {
    using graph = new nn.Graph();
    const [x, w] = [graph.input('x', [1, 4, 9, 9]), graph.input('w', [4, 2, 3, 3])];
    const y = nn.conv2d(x, w, { groups: 2, padding: 2, dilation: 2 });
    const g = graph.grad(y.square().sum(), w);
    using program = graph.compile({ g });
    const inputs = { x: Array.from({ length: 324 }, (_, i) => Math.sin(i)), w: Array.from({ length: 72 }, Math.cos) };
    const first = await run(program, inputs);
    for (let i = 0; i < 50; ++i) expect(await run(program, inputs)).toEqual(first);
  });
});

describe('pools', () => {
  test('the first of equal maxima gets the gradient; padding never wins', async () => {
    using graph = new nn.Graph();
    const x = graph.input('x', [1, 1, 2, 2]);
    const y = nn.maxPool2d(x, 2, { stride: 1, padding: 1 });
    using program = graph.compile({ y, g: graph.grad(y.sum(), x) });
    const { y: values, g } = await run(program, { x: [-1, -1, -1, -1] });
    expect(values).toEqual(Array(9).fill(-1));
    expect(g).toEqual([4, 2, 2, 1]);
  });
});

describe('misuse', () => {
  const real = (g: Graph, ...shape: number[]) => g.input(`r${shape.join('x')}`, shape);
  test.each<[string, (g: Graph) => unknown]>([
    ['linear', (g) => nn.linear(real(g, 4, 3), real(g, 5, 4))],
    ['linear bias', (g) => nn.linear(real(g, 4, 3), real(g, 5, 3), real(g, 3))],
    ['conv2d channels', (g) => nn.conv2d(real(g, 1, 3, 8, 8), real(g, 4, 2, 3, 3))],
    ['conv2d rank', (g) => nn.conv2d(real(g, 3, 8, 8), real(g, 4, 3, 3, 3))],
    ['conv2d kernel', (g) => nn.conv2d(real(g, 1, 3, 2, 2), real(g, 4, 3, 3, 3))],
    ['conv2d bias', (g) => nn.conv2d(real(g, 1, 3, 8, 8), real(g, 4, 3, 3, 3), { bias: real(g, 3) })],
    ['maxPool2d rank', (g) => nn.maxPool2d(real(g, 3, 8, 8), 2)],
    ['maxPool2d kernel', (g) => nn.maxPool2d(real(g, 1, 3, 2, 2), 3)],
    ['globalAvgPool2d', (g) => nn.globalAvgPool2d(real(g, 3, 8, 8))],
    ['batchNorm weight', (g) => nn.batchNorm(real(g, 4, 3), { weight: real(g, 4) })],
    ['batchNorm rank', (g) => nn.batchNorm(real(g, 4))],
    ['layerNorm', (g) => nn.layerNorm(real(g, 4, 3), { weight: real(g, 4) })],
    ['layerNorm shape', (g) => nn.layerNorm(real(g, 4, 3), { normalizedShape: [2, 4, 3] })],
    ['attention', (g) => nn.attention(real(g, 5, 4), real(g, 5, 3), real(g, 5, 4))],
    ['attention values', (g) => nn.attention(real(g, 5, 4), real(g, 5, 4), real(g, 6, 4))],
    ['embedding table', (g) => nn.embedding(g.input('i', [3], 'index'), real(g, 5))],
    ['crossEntropy', (g) => nn.crossEntropy(real(g, 4, 3), g.input('i', [3], 'index'))],
    ['mseLoss', (g) => nn.mseLoss(real(g, 4, 1), real(g, 4))],
  ])('SHAPE_MISMATCH: %s', (_, action) => {
    using graph = new nn.Graph();
    expect(codeOf(() => action(graph))).toBe('SHAPE_MISMATCH');
  });

  test.each<[string, (g: Graph) => unknown]>([
    ['batchNorm of one number per channel', (g) => nn.batchNorm(real(g, 1, 3))],
    ['batchNorm evaluation without statistics', (g) => nn.batchNorm(real(g, 4, 3), { training: false })],
    ['batchNorm option', (g) => nn.batchNorm(real(g, 4, 3), { train: true } as never)],
    ['batchNorm momentum', (g) => nn.batchNorm(real(g, 4, 3), { momentum: 2 })],
    ['embedding index', (g) => nn.embedding(real(g, 3), real(g, 5, 2))],
    ['crossEntropy target', (g) => nn.crossEntropy(real(g, 3, 4), real(g, 3))],
    [
      'crossEntropy smoothing',
      (g) => nn.crossEntropy(real(g, 3, 4), g.input('t', [3], 'index'), { labelSmoothing: 2 }),
    ],
    [
      'crossEntropy reduction',
      (g) => nn.crossEntropy(real(g, 3, 4), g.input('t', [3], 'index'), { reduction: 'x' as never }),
    ],
    ['conv2d stride', (g) => nn.conv2d(real(g, 1, 3, 8, 8), real(g, 4, 3, 3, 3), { stride: 0 })],
    ['conv2d option', (g) => nn.conv2d(real(g, 1, 3, 8, 8), real(g, 4, 3, 3, 3), { pad: 1 } as never)],
    ['maxPool2d padding', (g) => nn.maxPool2d(real(g, 1, 3, 8, 8), 2, { padding: 2 })],
    ['dropout p', (g) => nn.dropout(real(g, 3), 1.5)],
    ['gelu', (g) => nn.gelu(real(g, 3), 'erf' as never)],
    ['softmax axis', (g) => nn.softmax(real(g, 3), 1)],
    ['attention scale', (g) => nn.attention(real(g, 5, 4), real(g, 5, 4), real(g, 5, 4), { scale: NaN })],
  ])('INVALID_ARGUMENT: %s', (_, action) => {
    using graph = new nn.Graph();
    expect(codeOf(() => action(graph))).toBe('INVALID_ARGUMENT');
  });
});
