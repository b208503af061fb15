/** Programs: populations, random numbers, inputs and memory, aborting, and vectors in native memory. */
import { afterEach, describe, expect, test } from 'vitest';
import { dropout, gelu, Graph, linear, PtmzError, randomKey, Vector } from '../lib/index.js';
import type { Flat, Program, RunInput, Value } from '../lib/index.js';
import { codeOf, network, networkData, randomParams, run } from './support/graphs.js';

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

  test.each([
    ['none', 'erf'],
    ['tanh', 'tanh'],
  ] as const)('GELU (%s) is one launch each way, of the same value, gradient and Hessian product', async (kind, op) => {
    using graph = new Graph();
    const weight = graph.param('weight', [16, 8], { init: { kind: 'uniform', bound: 1 } });
    const bias = graph.param('bias', [16], { init: { kind: 'uniform', bound: 1 } });
    const hidden = gelu(linear(graph.input('x', [12, 8]), weight, bias), kind);
    const loss = linear(hidden, graph.param('out', [4, 16], { init: { kind: 'uniform', bound: 1 } }))
      .square()
      .sum();
    const grad = graph.grad(loss);
    const feeds = {
      x: Array.from({ length: 96 }, (_, i) => Math.sin(7 * i) * 3),
      params: Array.from({ length: graph.params.size }, (_, i) => Math.cos(3 * i)),
      v: Array.from({ length: graph.params.size }, (_, i) => Math.sin(i)),
    };
    const outputs = { loss, grad, hvp: graph.hvp(loss, graph.direction('v')) };
    const results = [];
    for (const fuse of [true, false]) {
      using program = graph.compile(outputs, { dtype: 'float64', fuse });
      results.push(await program.run(feeds));
    }
    for (const name of Object.keys(outputs)) {
      const [fused, plain] = results.map((result) => Array.from(result[name]!.toArray(), Number));
      const size = Math.hypot(...plain!);
      fused!.forEach((value, i) => expect(Math.abs(value - plain![i]!) / size).toBeLessThan(1e-14));
    }
    using program = graph.compile({ loss, grad }, { fuse: true });
    const launches = program.dump().split('\n');
    expect(launches.filter((line) => line.includes(` ${op} `)).length).toBe(2);
    expect(launches.filter((line) => /^ +map \[(12,16|192)\]/.test(line)).length).toBe(1);
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
    expect(error.stack!.split('\n')[1]).toMatch(/userFunction.*programs\.test\.ts/);
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
