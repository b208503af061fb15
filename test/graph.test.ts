/** The graph API: expressions, derivatives, programs and populations, and what they say when used wrongly. */
import { afterEach, describe, expect, test } from 'vitest';
import { concat, dropout, Graph, initialise, linear, mseLoss, PtmzError, randomKey, Vector } from '../lib/index.js';
import type { Flat, Program, RunInput, Value } from '../lib/index.js';
import { uniform } from './ops/tensor.js';

const codeOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    return (error as PtmzError).code;
  }
  return 'nothing thrown';
};

/** Runs and gives the rows of every output. */
async function run(program: Program, inputs: Record<string, RunInput>, options = {}) {
  const results = await program.run(inputs, options);
  return Object.fromEntries(
    Object.entries(results).map(([name, vector]) => {
      const rows = Array.from({ length: vector.rows }, (_, row) => Array.from(vector.toArray(row)));
      vector.dispose();
      return [name, rows];
    }),
  );
}

/** A two-layer network with data x (16,3), target t (16,2) and all parameters. */
function network(graph: Graph): { loss: Value } {
  const x = graph.input('x', [16, 3]);
  const init = { kind: 'kaimingUniform' } as const;
  const hidden = linear(x, graph.param('w1', [8, 3], { init }), graph.param('b1', [8])).tanh();
  const y = linear(hidden, graph.param('w2', [2, 8], { init }), graph.param('b2', [2]));
  return { loss: mseLoss(y, graph.input('t', [16, 2])) };
}

const networkData = { x: uniform(1, 48), t: uniform(2, 32) };

function randomParams(graph: Graph, members: number, dtype: 'float32' | 'float64' = 'float64'): Vector {
  const params = new Vector(dtype, members, graph.params.size);
  initialise(
    graph,
    { params },
    Array.from({ length: members }, (_, i) => i),
  );
  return params;
}

describe('expressions', () => {
  test('equal expressions are one object', () => {
    using graph = new Graph();
    const [a, b] = [graph.input('a', [2, 3]), graph.input('b', [2, 3])];
    const first = a.add(b).mul(2).sum(1);
    const { size } = graph;
    expect(a.add(b).mul(2).sum(1)).toBe(first);
    expect(b.add(a)).toBe(a.add(b));
    expect(graph.input('a', [2, 3])).toBe(a);
    expect(graph.size).toBe(size);
    expect(a.sub(b)).not.toBe(b.sub(a));
  });

  test('shapes follow NumPy and torch', () => {
    using graph = new Graph();
    const x = graph.input('x', [2, 3, 4]);
    expect(x.add(graph.input('y', [3, 1])).shape).toEqual([2, 3, 4]);
    expect(x.sum().shape).toEqual([]);
    expect(x.mean(-1).shape).toEqual([2, 3]);
    expect(x.amax([0, -1], true).shape).toEqual([1, 3, 1]);
    expect(x.argmax(1)).toMatchObject({ shape: [2, 4], kind: 'index' });
    expect(x.transpose().shape).toEqual([2, 4, 3]);
    expect(x.transpose(0, 2).shape).toEqual([4, 3, 2]);
    expect(x.reshape([-1, 4]).shape).toEqual([6, 4]);
    expect(x.slice(1, -2).shape).toEqual([2, 2, 4]);
    expect(x.slice(2, 0, 100, 3).shape).toEqual([2, 3, 2]);
    expect(x.pad([1, 2, 0, 1]).shape).toEqual([2, 4, 7]);
    expect(x.expand([5, -1, 3, -1]).shape).toEqual([5, 2, 3, 4]);
    expect(concat([x, x], -1).shape).toEqual([2, 3, 8]);
    expect(graph.iota([2, 3], -1).shape).toEqual([2, 3]);
  });

  test('a shape error names the operator, both shapes and the line of the caller', () => {
    using graph = new Graph();
    const [a, b] = [graph.input('a', [3, 4]), graph.input('b', [3, 5])];
    const userFunction = () => a.add(b);
    try {
      userFunction();
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(PtmzError);
      const { code, message, stack } = error as PtmzError;
      expect(code).toBe('SHAPE_MISMATCH');
      expect(message).toMatch(/^add: .*\[3,4\] and \[3,5\]/);
      expect(stack!.split('\n')[1]).toMatch(/userFunction.*graph\.test\.ts/);
    }
  });

  test.each<[string, (g: Graph, a: Value, i: Value) => unknown]>([
    ['matmul', (g, a) => a.matmul(g.input('m', [5, 2]))],
    ['reshape', (_, a) => a.reshape([5])],
    ['reshape with -1', (_, a) => a.reshape([5, -1])],
    ['expand', (_, a) => a.expand([3, 5])],
    ['expand to fewer axes', (_, a) => a.expand([4])],
    ['concat', (g, a) => concat([a, g.input('m', [5, 2])])],
    ['gather', (g, a) => a.gather(0, g.input('j', [2, 9], 'index'))],
    ['grad of several elements', (g, a) => g.grad(a.mul(2))],
    ['vjp', (g, a) => g.vjp([a], [g.constant(1)], [a])],
    ['jvp', (g, a) => g.jvp([a], [a], [g.constant(1)])],
    ['update', (g, a) => g.update(g.buffer('s', [2]), a)],
    ['an input of another shape', (g) => g.input('a', [4, 3])],
    ['dot', (g) => g.dot(g.params, g.buffers)],
  ])('SHAPE_MISMATCH: %s', (_, action) => {
    using graph = new Graph();
    graph.param('p', [2]);
    const [a, i] = [graph.input('a', [3, 4]), graph.input('i', [3], 'index')];
    expect(codeOf(() => action(graph, a, i))).toBe('SHAPE_MISMATCH');
  });

  test.each<[string, (g: Graph, a: Value, i: Value) => unknown]>([
    ['values of two graphs', (_, a) => a.add(new Graph().input('a', [3, 4]))],
    ['an index where a real is needed', (_, _a, i) => i.exp()],
    ['a real where an index is needed', (_, a) => a.gather(0, a)],
    ['the gradient with respect to an index', (g, a, i) => g.grad(a.sum(), i)],
    ['not a value', (_, a) => a.add('1' as never)],
    ['an axis out of range', (_, a) => a.sum(2)],
    ['an axis twice', (_, a) => a.sum([1, -1])],
    ['a fractional axis', (_, a) => a.sum(0.5)],
    ['a size of 0', (g) => g.input('z', [0, 3])],
    ['too many axes', (g) => g.input('z', [1, 1, 1, 1, 1, 1, 1, 1, 1])],
    ['an empty slice', (_, a) => a.slice(0, 2, 2)],
    ['a negative step', (_, a) => a.slice(0, 2, 0, -1)],
    ['an order that is no permutation', (_, a) => a.permute([0, 0])],
    ['padding below 0', (_, a) => a.pad([-1, 0])],
    ['a reserved name', (g) => g.input('params', [3])],
    ['an output-like name', (g) => g.input('out:y', [3])],
    ['an input of another kind', (g) => g.input('i', [3])],
    ['a parameter twice', (g) => [g.param('w', [1]), g.param('w', [1])]],
    ['an unknown option', (g) => g.param('w', [1], { initial: 1 } as never)],
    ['an unknown init', (g) => g.param('w', [1], { init: { kind: 'ones' } as never })],
    ['an update of what is no buffer', (g, a) => g.update(a, a)],
    ['a direction named as an input', (g) => g.direction('a')],
    ['an input named as a direction', (g) => [g.direction('v'), g.input('v', [1])]],
    ['a stream below 0', (g) => g.random([2], 'normal', -1)],
    ['an unknown distribution', (g) => g.random([2], 'cauchy' as never)],
    ['no outputs', (g) => g.compile({})],
    ['an output that is no value', (g) => g.compile({ y: 3 as never })],
    ['an empty vector as output', (g) => g.compile({ g: g.params })],
    ['an unknown varying slot', (g, a) => g.compile({ a: a.exp() }, { varying: ['b'] })],
    ['an unknown dtype', (g, a) => g.compile({ a: a.exp() }, { dtype: 'float16' as never })],
    ['an unknown entry', (g) => g.params.get('w')],
  ])('INVALID_ARGUMENT: %s', (_, action) => {
    using graph = new Graph();
    const [a, i] = [graph.input('a', [3, 4]), graph.input('i', [3], 'index')];
    expect(codeOf(() => action(graph, a, i))).toBe('INVALID_ARGUMENT');
  });

  test('a disposed graph says so; its programs go on', async () => {
    const graph = new Graph();
    const a = graph.input('a', [2]);
    using program = graph.compile({ y: a.mul(3) });
    graph.dispose();
    graph.dispose();
    expect(codeOf(() => a.exp())).toBe('DISPOSED');
    expect(codeOf(() => graph.size)).toBe('DISPOSED');
    expect(codeOf(() => graph.compile({ a }))).toBe('DISPOSED');
    expect(await run(program, { a: [1, 2] })).toEqual({ y: [[3, 6]] });
  });

  test('dump shows the expressions', () => {
    using graph = new Graph();
    expect(graph.dump(graph.input('a', [2]).exp())).toMatch(/exp\(%\d+\).*real\[2\]/);
  });
});

describe('flat vectors', () => {
  test('tensors are aligned to 64 elements and outputs land at the same offsets', async () => {
    using graph = new Graph();
    const [w, b] = [graph.param('w', [70]), graph.param('b', [3])];
    graph.param('unused', [2], { decay: false });
    expect(graph.params.entries.map((e) => [e.name, e.offset, e.decay])).toEqual([
      ['w', 0, true],
      ['b', 128, true],
      ['unused', 192, false],
    ]);
    expect(graph.params).toMatchObject({ size: 256, count: 75 });
    const loss = w.square().sum().add(b.sum());
    const gradient = graph.grad(loss);
    expect(gradient.get('unused').value).toBeNull();
    using program = graph.compile({ gradient });
    const [row] = (await run(program, { params: new Array(256).fill(3) })).gradient!;
    expect(row!.slice(0, 70)).toEqual(Array(70).fill(6));
    expect(row!.slice(128, 131)).toEqual([1, 1, 1]);
    expect(row!.filter((n) => n !== 0)).toHaveLength(73);
  });

  test('buffers without an update are copied, updates chain', async () => {
    using graph = new Graph();
    const [a, b] = [graph.buffer('a', [2]), graph.buffer('b', [1])];
    expect(graph.updated(a)).toBe(a);
    graph.update(a, graph.updated(a).add(1));
    graph.update(a, graph.updated(a).mul(2));
    using program = graph.compile({ next: graph.updatedBuffers });
    const buffers = new Array(128).fill(0);
    [buffers[0], buffers[1], buffers[64]] = [1, 2, 7];
    const [row] = (await run(program, { buffers })).next!;
    expect([row![0], row![1], row![64]]).toEqual([4, 6, 7]);
    expect(b.shape).toEqual([1]);
  });

  test('initialise fills every member from its own seed and leaves gaps zero', () => {
    using graph = new Graph();
    graph.param('u', [50], { init: { kind: 'uniform', bound: 0.5 } });
    graph.param('k', [4, 6], { init: { kind: 'kaimingUniform' } });
    graph.param('n', [500], { init: { kind: 'normal', std: 2 } });
    graph.param('c', [3], { init: { kind: 'constant', value: 1.5 } });
    graph.buffer('b', [3], { init: { kind: 'uniform', bound: 1 } });
    using params = new Vector('float32', 3, graph.params.size);
    using buffers = new Vector('float32', 3, graph.buffers.size);
    initialise(graph, { params, buffers }, [5, 6, 5]);
    const rows = [0, 1, 2].map((row) => Array.from(params.toArray(row)));
    expect(rows[0]).toEqual(rows[2]);
    expect(rows[0]).not.toEqual(rows[1]);
    const of = (name: string) => {
      const { offset, shape } = graph.params.get(name);
      return rows[1]!.slice(offset, offset + shape.reduce((n, s) => n * s, 1));
    };
    expect(Math.max(...of('u').map(Math.abs))).toBeGreaterThan(0.4);
    expect(Math.max(...of('u').map(Math.abs))).toBeLessThanOrEqual(0.5);
    expect(Math.max(...of('k').map(Math.abs))).toBeLessThanOrEqual(1);
    expect(Math.max(...of('k').map(Math.abs))).toBeGreaterThan(0.7);
    const variance = of('n').reduce((s, x) => s + x * x, 0) / 500;
    expect(variance).toBeGreaterThan(3);
    expect(variance).toBeLessThan(5);
    expect(of('c')).toEqual([1.5, 1.5, 1.5]);
    expect(rows[1]!.slice(50, 64)).toEqual(Array(14).fill(0));
    expect(buffers.toArray(0)).not.toEqual(buffers.toArray(1));
    expect(codeOf(() => initialise(graph, { params }, [1]))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => initialise(graph, { params: buffers }, [1, 2, 3]))).toBe('INVALID_ARGUMENT');
  });
});

describe('derivatives', () => {
  test('the HVP of a quadratic is its matrix times the direction', async () => {
    using graph = new Graph();
    const w = graph.param('w', [3]);
    const a = graph.input('a', [3, 3]);
    const loss = w.matmul(a).matmul(w).mul(0.5);
    using program = graph.compile({ hv: graph.hvp(loss, graph.direction('v')) }, { dtype: 'float64' });
    const flat = (values: number[]) => [...values, ...Array(61).fill(0)];
    const inputs = { a: [2, 1, 0, 1, 3, 1, 0, 1, 4], params: flat([0.3, 0.1, 2]), v: flat([1, -1, 2]) };
    const [row] = (await run(program, inputs)).hv!;
    expect(row!.slice(0, 3)).toEqual([1, 0, 7]);
  });

  test('third derivatives', async () => {
    using graph = new Graph();
    const x = graph.input('x', []);
    const y = x.mul(x.sin()).exp();
    const third = [1, 2, 3].reduce((value) => graph.grad(value, x), y);
    using program = graph.compile({ third }, { dtype: 'float64' });
    const at = 0.7;
    const [s, c] = [Math.sin(at), Math.cos(at)];
    const [f, f1, f2, f3] = [at * s, s + at * c, 2 * c - at * s, -3 * s - at * c];
    const expected = Math.exp(f) * (f1 ** 3 + 3 * f1 * f2 + f3);
    expect((await run(program, { x: [at] })).third![0]![0]).toBeCloseTo(expected, 12);
  });

  test('jvp and vjp are adjoint', async () => {
    using graph = new Graph();
    const [x, w] = [graph.input('x', [4, 3]), graph.input('w', [2, 3])];
    const y = x.matmul(w, { transposeB: true }).tanh().mul(x.sum(1, true));
    const [u, tx, tw] = [graph.input('u', [4, 2]), graph.input('tx', [4, 3]), graph.input('tw', [2, 3])];
    const [tangent] = graph.jvp([y], [x, w], [tx, tw]);
    const [gx, gw] = graph.vjp([y], [u], [x, w]);
    const outputs = { forward: tangent!.mul(u).sum(), backward: gx!.mul(tx).sum().add(gw!.mul(tw).sum()) };
    using program = graph.compile(outputs, { dtype: 'float64' });
    const inputs = { x: uniform(1, 12), w: uniform(2, 6), u: uniform(3, 8), tx: uniform(4, 12), tw: uniform(5, 6) };
    const { forward, backward } = await run(program, inputs);
    expect(Math.abs(forward![0]![0]!)).toBeGreaterThan(0.01);
    expect(forward![0]![0]).toBeCloseTo(backward![0]![0]!, 13);
  });

  test('what no path reaches is zero', async () => {
    using graph = new Graph();
    const [x, z] = [graph.input('x', [2]), graph.input('z', [3])];
    const gradients = graph.grad(x.sum(), [z, x.stopGradient()]);
    const tangent = graph.jvp([x], [z], [z])[0]!;
    using program = graph.compile({ g: gradients[0]!, t: tangent });
    expect(await run(program, { x: [1, 2], z: [1, 2, 3] })).toEqual({ g: [[0, 0, 0]], t: [[0, 0]] });
  });

  test('a derivative with respect to an inner value', async () => {
    using graph = new Graph();
    const x = graph.input('x', [2]);
    const inner = x.mul(3);
    using program = graph.compile({ g: graph.grad(inner.square().sum(), inner) });
    expect(await run(program, { x: [1, 2] })).toEqual({ g: [[6, 12]] });
  });
});

describe('populations', () => {
  function hvpProgram(graph: Graph, varying?: string[]): Program {
    const { loss } = network(graph);
    const v = graph.direction('v');
    const outputs: Record<string, Value | Flat> = { loss, gradient: graph.grad(loss), hvp: graph.hvp(loss, v) };
    return graph.compile(outputs, { dtype: 'float64', ...(varying && { varying }) });
  }

  test('the launch list does not depend on the number of members, shared launches run once', async () => {
    using graph = new Graph();
    using program = hvpProgram(graph);
    const plan = { ...program.plan };
    const stats = [];
    for (const members of [1, 32]) {
      using params = randomParams(graph, members);
      using v = randomParams(graph, members);
      await run(program, { ...networkData, params, v });
      stats.push(program.lastRun!);
    }
    expect({ ...program.plan }).toEqual(plan);
    expect(stats[1]!.sharedLaunches).toBe(stats[0]!.sharedLaunches);
    expect(stats[0]!.sharedLaunches).toBe(plan.sharedLaunches);
    expect(stats[1]!.varyingLaunches).toBe(32 * stats[0]!.varyingLaunches);
    expect(plan.varyingLaunches).toBeGreaterThan(0);
  });

  test('probes are a population: loss and gradient are shared launches', async () => {
    using graph = new Graph();
    using other = new Graph();
    using probes = hvpProgram(graph, ['v']);
    using members = hvpProgram(other);
    expect(probes.plan.sharedLaunches).toBeGreaterThan(members.plan.sharedLaunches + 5);
    expect(probes.plan.varyingLaunches).toBeLessThan(members.plan.varyingLaunches);
    const varies = Object.fromEntries(probes.outputs.map((slot) => [slot.name, slot.varies]));
    expect(varies).toEqual({ loss: false, gradient: false, hvp: true });
    using params = randomParams(graph, 1);
    using v = randomParams(graph, 4);
    const all = await run(probes, { ...networkData, params, v });
    expect(all.loss).toHaveLength(1);
    for (let row = 0; row < 4; ++row) {
      using one = new Vector('float64', 1, v.size).set(0, v.toArray(row));
      expect((await run(members, { ...networkData, params, v: one })).hvp![0]).toEqual(all.hvp![row]);
    }
  });

  test('members that do not fit run in chunks, with the same bits', async () => {
    using graph = new Graph();
    using program = hvpProgram(graph);
    using params = randomParams(graph, 7);
    using v = randomParams(graph, 7);
    const inputs = { ...networkData, params, v };
    const whole = await run(program, inputs, { threads: 4 });
    expect(program.lastRun).toMatchObject({ chunks: 2, chunkMembers: 4 });
    const { sharedBytes, memberBytes, scratchBytes } = program.plan;
    const memoryLimit = Math.floor(sharedBytes + 4 * scratchBytes + 2.5 * memberBytes);
    expect(await run(program, inputs, { threads: 4, memoryLimit })).toEqual(whole);
    expect(program.lastRun).toMatchObject({ chunks: 4, chunkMembers: 2, sharedLaunches: program.plan.sharedLaunches });
    await expect(program.run(inputs, { threads: 1, memoryLimit: sharedBytes + 1 })).rejects.toMatchObject({
      code: 'OUT_OF_MEMORY',
    });
  });

  test('threads do not change bits', async () => {
    using graph = new Graph();
    using program = hvpProgram(graph);
    using params = randomParams(graph, 3);
    using v = randomParams(graph, 3);
    const inputs = { ...networkData, params, v };
    expect(await run(program, inputs, { threads: 2 })).toEqual(await run(program, inputs, { threads: 1 }));
  });
});

describe('random numbers', () => {
  const key = (...seeds: number[]) => Int32Array.from(seeds.flatMap((seed) => [...randomKey(seed)]));

  test('every dropout has a mask of its own, and every member, epoch and step', async () => {
    using graph = new Graph();
    const ones = graph.constant(1, [64]);
    using program = graph.compile({ a: dropout(ones, 0.5), b: dropout(ones, 0.5) });
    const { a, b } = await run(program, { key: key(3, 4, 3) });
    expect(a![0]).not.toEqual(b![0]);
    expect(a![0]).not.toEqual(a![1]);
    expect(a![0]).toEqual(a![2]);
    expect(new Set(a![0])).toEqual(new Set([0, 2]));
    const later = async (epoch: number, step: number) => (await run(program, { key: randomKey(3, epoch, step) })).a![0];
    const masks = [a![0], await later(1, 0), await later(0, 1)];
    expect(new Set(masks.map(String)).size).toBe(3);
  });

  test('equal streams are one value; adding one changes no other', async () => {
    using graph = new Graph();
    expect(graph.random([8], 'uniform', 5)).toBe(graph.random([8], 'uniform', 5));
    using other = new Graph();
    other.random([3]);
    using first = graph.compile({ r: graph.random([8], 'normal', 9) });
    using second = other.compile({ r: other.random([8], 'normal', 9) });
    expect(await run(first, { key: key(1) })).toEqual(await run(second, { key: key(1) }));
  });

  test.each([
    ['uniform', 0.5, 1 / 12],
    ['normal', 0, 1],
    ['rademacher', 0, 1],
  ] as const)('%s has its mean and variance', async (distribution, mean, variance) => {
    using graph = new Graph();
    const r = graph.random([20000], distribution);
    using program = graph.compile({ mean: r.mean(), variance: r.var() }, { dtype: 'float64' });
    const result = await run(program, { key: randomKey(11) });
    expect(Math.abs(result.mean![0]![0]! - mean)).toBeLessThan(0.03);
    expect(Math.abs(result.variance![0]![0]! / variance - 1)).toBeLessThan(0.04);
  });
});

describe('programs', () => {
  const env = process.env.PTMZ_FUSE;
  afterEach(() => {
    if (env === undefined) delete process.env.PTMZ_FUSE;
    else process.env.PTMZ_FUSE = env;
  });

  test('PTMZ_FUSE=0 turns fusion off where compile says nothing', () => {
    using graph = new Graph();
    const y = graph.input('x', [9]).exp().sin().mul(2).add(1);
    const launches = (options = {}) => {
      using program = graph.compile({ y }, options);
      return program.plan.sharedLaunches + program.plan.varyingLaunches;
    };
    delete process.env.PTMZ_FUSE;
    const fused = launches();
    process.env.PTMZ_FUSE = '0';
    expect(launches()).toBeGreaterThan(fused);
    expect(launches({ fuse: true })).toBe(fused);
  });

  test('inputs, outputs and vectors', async () => {
    using graph = new Graph();
    const [x, i] = [graph.input('x', [2, 3]), graph.input('i', [2, 3], 'index')];
    graph.input('unused', [7]);
    using program = graph.compile({ x: x.gather(1, i), top: x.argmax(1) }, { varying: ['x'] });
    expect(program.inputs).toMatchObject([
      { name: 'x', kind: 'real', size: 6, varies: true },
      { name: 'i', kind: 'index', size: 6, varies: false },
    ]);
    expect(program.outputs).toMatchObject([
      { name: 'x', size: 6, varies: true },
      { name: 'top', kind: 'index', size: 2 },
    ]);
    using given = program.vector('x', 2).set(0, [1, 2, 3, 6, 5, 4]).set(1, [3, 2, 1, 4, 5, 6]);
    using into = program.vector('top', 2);
    const results = await program.run({ x: given, i: [2, 1, 0, 0, 0, 1], unused: [] }, { into: { top: into } });
    expect(results.top).toBe(into);
    expect(into.dtype).toBe('int32');
    expect([into.toArray(0), into.toArray(1)]).toEqual([Int32Array.of(2, 0), Int32Array.of(0, 2)]);
    expect(results.x!.toArray(1)).toEqual(Float32Array.of(1, 2, 3, 4, 4, 5));
    expect(program.dump()).toMatch(/gather/);
  });

  test('outputs of one name and two sizes do not meet', async () => {
    using graph = new Graph();
    const x = graph.input('x', [4]);
    using long = graph.compile({ y: x.mul(2) });
    using short = graph.compile({ y: x.sum() });
    expect(await run(short, { x: [1, 2, 3, 4] })).toEqual({ y: [[10]] });
    expect(await run(long, { x: [1, 2, 3, 4] })).toEqual({ y: [[2, 4, 6, 8]] });
  });

  test.each<[string, Record<string, RunInput>, object, string]>([
    ['a missing input', {}, {}, "input 'x'"],
    ['an unknown input', { x: [1, 2], z: [1] }, {}, 'received .z.'],
    ['too few numbers', { x: [1] }, {}, '1 x 2 numbers'],
    ['text', { x: ['1', '2'] as never }, { members: 0 }, 'members'],
    ['an unknown option', { x: [1, 2] }, { member: 1 }, 'received .member.'],
    ['an unknown output', { x: [1, 2] }, { into: { z: null } }, 'received .z.'],
    ['into of what is no vector', { x: [1, 2] }, { into: { y: [] } }, 'a Vector'],
    ['a negative number of threads', { x: [1, 2] }, { threads: -1 }, 'threads'],
  ])('INVALID_ARGUMENT: %s', async (_, inputs, options, text) => {
    using graph = new Graph();
    using program = graph.compile({ y: graph.input('x', [2]).exp() });
    const rejected = await program.run(inputs, options).catch((error: unknown) => error);
    expect(rejected).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(text) });
  });

  test('vectors of another type, size or number of rows', async () => {
    using graph = new Graph();
    using program = graph.compile({ y: graph.param('w', [2]).exp() });
    for (const vector of [new Vector('float64', 1, 64), new Vector('float32', 1, 2)])
      await expect(program.run({ params: vector })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(/float32 1 x 64 .*float/),
      });
    await expect(program.run({ params: new Vector('float32', 2, 64) }, { members: 3 })).rejects.toThrow('3 x 64');
  });

  test('an index outside its axis is an error of the run, with the line of the caller', async () => {
    using graph = new Graph();
    using program = graph.compile({ y: graph.input('x', [3]).gather(0, graph.input('i', [2], 'index')) });
    const userFunction = () => program.run({ x: [1, 2, 3], i: [0, 3] });
    const error = (await userFunction().catch((e: unknown) => e)) as PtmzError;
    expect(error).toBeInstanceOf(PtmzError);
    expect(error.code).toBe('INDEX_OUT_OF_RANGE');
    expect(error.stack!.split('\n')[1]).toMatch(/userFunction.*graph\.test\.ts/);
  });

  test('disposed programs and vectors say so', async () => {
    using graph = new Graph();
    const program = graph.compile({ y: graph.input('x', [2]).exp() });
    const x = program.vector('x');
    x.dispose();
    await expect(program.run({ x })).rejects.toMatchObject({ code: 'DISPOSED' });
    expect(codeOf(() => x.toArray())).toBe('DISPOSED');
    program.dispose();
    program.dispose();
    await expect(program.run({ x: [1, 2] })).rejects.toMatchObject({ code: 'DISPOSED' });
  });
});

describe('abort', () => {
  function longProgram(graph: Graph): Program {
    let x = graph.input('x', [300, 300]);
    for (let i = 0; i < 200; ++i) x = x.matmul(x).mul(1e-3);
    return graph.compile({ y: x.sum() });
  }

  test('an aborted signal rejects at once with its reason', async () => {
    using graph = new Graph();
    using program = graph.compile({ y: graph.input('x', [2]).exp() });
    const reason = new Error('not today');
    await expect(program.run({ x: [1, 2] }, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('a run stops, rejects with the reason, and the program can run again', async () => {
    using graph = new Graph();
    using program = longProgram(graph);
    using x = program.vector('x').fill(0.01);
    const controller = new AbortController();
    const reason = new Error('enough');
    const running = program.run({ x }, { signal: controller.signal });
    await expect(program.run({ x })).rejects.toMatchObject({ code: 'BUSY' });
    setTimeout(() => controller.abort(reason), 5);
    await expect(running).rejects.toBe(reason);
    expect(program.lastRun).toBeUndefined();
    await program.run({ x });
    expect(program.lastRun).toBeDefined();
  });

  test('listeners are removed', async () => {
    using graph = new Graph();
    using program = graph.compile({ y: graph.input('x', [2]).exp() });
    const { signal } = new AbortController();
    let listeners = 0;
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    signal.addEventListener = (...args: Parameters<typeof add>) => (++listeners, add(...args));
    signal.removeEventListener = (...args: Parameters<typeof remove>) => (--listeners, remove(...args));
    await program.run({ x: [1, 2] }, { signal });
    expect(listeners).toBe(0);
  });
});

describe('vectors', () => {
  test('rows are read and written', () => {
    using v = new Vector('float64', 2, 3);
    expect(v.set(1, [1, 2]).set(1, Float32Array.of(5), 2).toArray(1)).toEqual(Float64Array.of(1, 2, 5));
    expect(v.toArray()).toEqual(new Float64Array(3));
    expect(v.fill(2).toArray(0)).toEqual(Float64Array.of(2, 2, 2));
    expect(v.bytes).toBe(48);
    expect(new Vector('int32', 1, 1).set(0, [-7]).item()).toBe(-7);
    expect(new Vector('uint8', 1, 2).set(0, [255, 0]).toArray()).toEqual(Uint8Array.of(255, 0));
  });

  test('random numbers depend on seed, stream and position alone', () => {
    using a = new Vector('float32', 2, 100).random({ distribution: 'normal', seeds: [1, 2] });
    using b = new Vector('float32', 1, 50).random({ distribution: 'normal', seeds: [2] });
    expect(a.toArray(1).slice(0, 50)).toEqual(b.toArray());
    expect(a.toArray(0)).not.toEqual(a.toArray(1));
    expect(b.random({ distribution: 'normal', seeds: [2], stream: 1 }).toArray()).not.toEqual(
      a.toArray(1).slice(0, 50),
    );
    using signs = new Vector('float32', 1, 9).random({ distribution: 'rademacher', seeds: [1], offset: 2, length: 4 });
    expect(Array.from(signs.toArray(), Math.abs)).toEqual([0, 0, 1, 1, 1, 1, 0, 0, 0]);
  });

  test.each<[string, () => unknown]>([
    ['dtype', () => new Vector('float16' as never, 1, 1)],
    ['rows', () => new Vector('float32', 0, 1)],
    ['size', () => new Vector('float32', 1, -1)],
    ['row', () => new Vector('float32', 1, 1).toArray(1)],
    ['item of many', () => new Vector('float32', 1, 2).item()],
    ['too much data', () => new Vector('float32', 1, 2).set(0, [1, 2], 1)],
    ['text', () => new Vector('float32', 1, 2).set(0, 'ab' as never)],
    ['bigints', () => new Vector('float32', 1, 2).set(0, BigInt64Array.of(1n) as never)],
    ['fractions as indices', () => new Vector('int32', 1, 2).set(0, [1.5])],
    ['bytes above 255', () => new Vector('uint8', 1, 2).set(0, [256])],
    ['fill', () => new Vector('float32', 1, 2).fill('1' as never)],
    ['seeds', () => new Vector('float32', 2, 2).random({ distribution: 'normal', seeds: [1] })],
    ['distribution', () => new Vector('float32', 1, 2).random({ distribution: 'x' as never, seeds: [1] })],
    ['seed of a key', () => randomKey(-1)],
  ])('INVALID_ARGUMENT: %s', (_, action) => expect(codeOf(action)).toBe('INVALID_ARGUMENT'));
});
