/** The graph API: expressions, flat vectors and derivatives, and what they say when used wrongly. */
import { describe, expect, test } from 'vitest';
import { concat, Graph, initialise, PtmzError, Vector } from '../lib/index.js';
import type { Value } from '../lib/index.js';
import { uniform } from './ops/tensor.js';
import { codeOf, run } from './support/graphs.js';

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
