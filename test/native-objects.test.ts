/** Native objects: copies and random numbers of vectors, every kind of misuse, garbage collection, native bytes. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test, vi } from 'vitest';
import type { NativeArray, NativeDType, NativeGraph, NativeVector } from '../lib/native.js';
import { addon, matmulChain, options, outcome, sleep } from './support/long-run.mjs';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const arrays = { float32: Float32Array, float64: Float64Array, int32: Int32Array, uint8: Uint8Array };
const draw = (change: object = {}) => ({
  offset: 0,
  length: 8,
  distribution: 'normal' as const,
  seeds: [1, 2],
  purpose: 'init' as const,
  stream: 0,
  epoch: 0,
  step: 0,
  scale: 1,
  shift: 0,
  ...change,
});

describe('vectors', () => {
  test.each(Object.keys(arrays) as NativeDType[])('%s: begins as zeros, reads what was written', (dtype) => {
    const vector = new addon.Vector(dtype, 3, 5);
    expect([vector.dtype, vector.rows, vector.size]).toEqual([dtype, 3, 5]);
    const all = (row: number) => {
      const target: NativeArray = new arrays[dtype](5);
      vector.read(row, 0, target);
      return [...target];
    };
    expect(all(2)).toEqual([0, 0, 0, 0, 0]);
    vector.write(1, 2, new arrays[dtype]([7, 8]));
    expect([0, 1, 2].map(all)).toEqual([
      [0, 0, 0, 0, 0],
      [0, 0, 7, 8, 0],
      [0, 0, 0, 0, 0],
    ]);
    // A view into a larger buffer, at an offset of its own.
    vector.write(0, 0, new arrays[dtype]([1, 2, 3, 4, 5, 6]).subarray(2, 4));
    expect(all(0)).toEqual([3, 4, 0, 0, 0]);
    vector.fill(9);
    expect(all(2)).toEqual([9, 9, 9, 9, 9]);
    vector.read(0, 5, new arrays[dtype](0));
    vector.dispose();
    vector.dispose();
  });

  function numbers(change: object, rows = 2, size = 8) {
    const vector = new addon.Vector('float64', rows, size);
    vector.random(draw(change));
    const lists = Array.from({ length: rows }, (_, row) => {
      const target = new Float64Array(size);
      vector.read(row, 0, target);
      return [...target];
    });
    vector.dispose();
    return lists;
  }

  test('random numbers depend on the seed, purpose, stream, epoch, step and index alone', () => {
    const [first, second] = numbers({});
    expect(numbers({})).toEqual([first, second]);
    expect(first).not.toEqual(second);
    expect(numbers({ seeds: [2, 1] })).toEqual([second, first]);
    for (const change of [{ stream: 1 }, { epoch: 1 }, { step: 1 }, { purpose: 'probe' }, { seeds: [1 + 2 ** 32, 2] }])
      expect(numbers(change)[0]).not.toEqual(first);
    // The index counts from the start of the range, wherever that lies.
    const moved = numbers({ offset: 3, length: 5 })[0]!;
    expect(moved).toEqual([0, 0, 0, ...first!.slice(0, 5)]);
    expect(numbers({ scale: 2, shift: 1 })[0]).toEqual(first!.map((z) => 2 * z + 1));
  });

  test('random numbers have the moments of their distribution', () => {
    const n = 100_000;
    const moments = (distribution: string) => {
      const list = numbers({ distribution, length: n, seeds: [5] }, 1, n)[0]!;
      const mean = list.reduce((sum, z) => sum + z, 0) / n;
      return { list, mean, variance: list.reduce((sum, z) => sum + (z - mean) ** 2, 0) / n };
    };
    const [uniform, normal, sign] = ['uniform', 'normal', 'rademacher'].map(moments);
    // Five standard errors.
    expect(Math.abs(uniform!.mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / n));
    expect(Math.abs(uniform!.variance - 1 / 12)).toBeLessThan(5 * Math.sqrt(1 / 180 / n));
    expect(Math.min(...uniform!.list.slice(0, 1000)) >= 0 && Math.max(...uniform!.list.slice(0, 1000)) < 1).toBe(true);
    expect(Math.abs(normal!.mean)).toBeLessThan(5 / Math.sqrt(n));
    expect(Math.abs(normal!.variance - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(Math.abs(sign!.mean)).toBeLessThan(5 / Math.sqrt(n));
    expect(new Set(sign!.list)).toEqual(new Set([-1, 1]));
  });

  test('float32 numbers are the float64 ones, rounded', () => {
    const vector = new addon.Vector('float32', 1, 8);
    vector.random(draw({ seeds: [1], scale: 0.3 }));
    const target = new Float32Array(8);
    vector.read(0, 0, target);
    vector.dispose();
    expect([...target]).toEqual(numbers({ scale: 0.3 })[0]!.map(Math.fround));
  });
});

describe('misuse gives a typed error and no crash', () => {
  const vector = (dtype: NativeDType = 'float32', rows = 2, size = 8) => new addon.Vector(dtype, rows, size);
  const graph = () => new addon.Graph();
  /** A graph with a real slot 0 of 4 elements, an output slot 1, and node 0 reading slot 0 as (2,2). */
  function small(): NativeGraph {
    const g = graph();
    g.slot('x', 'real', 4);
    g.slot('out', 'real', 4);
    g.node('input', [], [0, 0], [], [2, 2]);
    return g;
  }
  const program = (change: object = {}) =>
    small().compile({
      outputs: [{ node: 0, slot: 1, offset: 0 }],
      dtype: 'float32',
      varying: [],
      fuse: true,
      device: 'cpu',
      ...change,
    });
  const run = (vectors: unknown, change: object = {}) =>
    program().run(vectors as NativeVector[], { ...options, ...change });
  const detached = () => {
    const array = new Float32Array(4);
    structuredClone(array.buffer, { transfer: [array.buffer] });
    return array;
  };
  const disposed = <T extends { dispose(): void }>(object: T) => {
    object.dispose();
    return object;
  };
  const any = (value: unknown) => value as never;

  const cases: [string, () => unknown, string?][] = [
    ['unknown precision', () => program({ precision: 'fp16' })],
    ['a precision that the CPU lacks', () => program({ precision: 'bf16' }), 'UNSUPPORTED'],
    ['a precision below float64', () => program({ precision: 'tf32', dtype: 'float64' }), 'UNSUPPORTED'],
    ['unknown dtype', () => new addon.Vector(any('float16'), 1, 1)],
    ['dtype missing', () => new addon.Vector(any(undefined), 1, 1)],
    ['dtype of the wrong type', () => new addon.Vector(any(32), 1, 1)],
    ['NaN rows', () => vector('float32', NaN)],
    ['no rows', () => vector('float32', 0)],
    ['fractional rows', () => vector('float32', 1.5)],
    ['negative size', () => vector('float32', 1, -1)],
    ['NaN size', () => vector('float32', 1, NaN)],
    ['infinite size', () => vector('float32', 1, Infinity)],
    ['size of 2^53', () => vector('float32', 1, 2 ** 53)],
    ['size as text', () => vector('float32', 1, any('8'))],
    ['size as bigint', () => vector('float32', 1, any(8n))],
    ['size of 2^53 - 1', () => vector('uint8', 1, 2 ** 53 - 1), 'OUT_OF_MEMORY'],
    ['rows times size beyond 2^64', () => vector('float64', 2 ** 40, 2 ** 40), 'OUT_OF_MEMORY'],
    ['more than any machine has', () => vector('float64', 1, 2 ** 44), 'OUT_OF_MEMORY'],
    ['row out of range', () => vector().read(2, 0, new Float32Array(1))],
    ['negative row', () => vector().read(-1, 0, new Float32Array(1))],
    ['offset out of range', () => vector().read(0, 9, new Float32Array(0))],
    ['offset of 2^53', () => vector().read(0, 2 ** 53, new Float32Array(1))],
    ['more elements than a row', () => vector().read(0, 1, new Float32Array(8))],
    ['write past the end', () => vector().write(1, 7, new Float32Array(2))],
    ['wrong typed array', () => vector().read(0, 0, new Float64Array(4))],
    ['clamped array for uint8', () => vector('uint8').read(0, 0, any(new Uint8ClampedArray(4)))],
    ['plain array', () => vector().write(0, 0, any([1, 2]))],
    ['a DataView', () => vector().write(0, 0, any(new DataView(new ArrayBuffer(8))))],
    ['an ArrayBuffer', () => vector().write(0, 0, any(new ArrayBuffer(8)))],
    ['no target', () => vector().read(0, 0, any(undefined))],
    ['SharedArrayBuffer to write', () => vector().write(0, 0, any(new Float32Array(new SharedArrayBuffer(16))))],
    ['SharedArrayBuffer to read', () => vector().read(0, 0, any(new Float32Array(new SharedArrayBuffer(16))))],
    ['detached ArrayBuffer', () => vector().write(0, 0, detached())],
    ['fill without a value', () => vector().fill(any(undefined))],
    ['fill int32 with 1.5', () => vector('int32').fill(1.5)],
    ['fill int32 with 2^31', () => vector('int32').fill(2 ** 31)],
    ['fill uint8 with 256', () => vector('uint8').fill(256)],
    ['fill uint8 with NaN', () => vector('uint8').fill(NaN)],
    ['random numbers in int32', () => vector('int32').random(draw())],
    ['random without options', () => vector().random(any(undefined))],
    ['random: too few seeds', () => vector().random(draw({ seeds: [1] }))],
    ['random: negative seed', () => vector().random(draw({ seeds: [1, -1] }))],
    ['random: seed of 2^53', () => vector().random(draw({ seeds: [1, 2 ** 53] }))],
    ['random: unknown purpose', () => vector().random(draw({ purpose: 'luck' }))],
    ['random: unknown distribution', () => vector().random(draw({ distribution: 'cauchy' }))],
    ['random: range beyond the row', () => vector().random(draw({ offset: 1 }))],
    ['random: NaN scale', () => vector().random(draw({ scale: NaN }))],
    ['random: stream of 2^32', () => vector().random(draw({ stream: 2 ** 32 }))],
    ['vector used after dispose', () => disposed(vector()).rows, 'DISPOSED'],
    ['vector filled after dispose', () => disposed(vector()).fill(0), 'DISPOSED'],
    ['vector read after dispose', () => disposed(vector()).read(0, 0, new Float32Array(1)), 'DISPOSED'],
    ['graph used after dispose', () => disposed(small()).node('neg', [0]), 'DISPOSED'],
    ['program used after dispose', () => disposed(program()).plan, 'DISPOSED'],
    ['run after dispose', () => disposed(program()).run([], options), 'DISPOSED'],
    ['disposed while its arguments are read', disposedByGetter, 'DISPOSED'],
    ['unknown op', () => small().node('hypot', [0, 0])],
    ['unknown fused kernel', () => small().fused('flash', [0], [], [], 0)],
    ['too few inputs', () => small().node('add', [0])],
    ['a node of no graph', () => small().node('neg', [7])],
    ['negative node', () => small().node('neg', [-1])],
    ['fractional node', () => small().node('neg', [0.5])],
    ['node beyond 2^31', () => small().node('neg', [2 ** 31])],
    ['inputs not an array', () => small().node('neg', any(0))],
    ['array with a hole', () => small().node('neg', any(new Array(1)))],
    ['huge empty array', () => small().node('concat', any(new Array(2 ** 31)), [0])],
    ['shape with NaN', () => small().node('reshape', [0], [], [], [NaN])],
    ['negative shape', () => small().node('reshape', [0], [], [], [-4])],
    ['shape of another size', () => small().node('reshape', [0], [], [], [5]), 'SHAPE_MISMATCH'],
    ['shapes that do not fit', () => mismatch(), 'SHAPE_MISMATCH'],
    ['shape whose product overflows', () => small().node('reshape', [0], [], [], [2 ** 50, 2 ** 50])],
    [
      'leaf whose size overflows to that of its slot',
      () => emptySlot().node('input', [], [0, 0], [], [2 ** 32, 2 ** 32]),
    ],
    ['leaf beyond its slot', () => small().node('input', [], [0, 0], [], [5])],
    ['leaf of no slot', () => small().node('input', [], [9, 0], [], [4])],
    ['attributes missing', () => small().node('sum', [0], [7])],
    ['slot without a name', () => graph().slot(any(undefined), 'real', 1)],
    ['slot of an unknown kind', () => graph().slot('x', any('complex'), 1)],
    ['slot of size 2^53', () => graph().slot('x', 'real', 2 ** 53)],
    ['vjp of an unknown node', () => small().vjp([0], [9], [0])],
    ['vjp with too few cotangents', () => small().vjp([0], [], [0])],
    ['dump of an unknown node', () => small().dump([3])],
    ['shape of an unknown node', () => small().shape(3)],
    ['compile without options', () => small().compile(any(undefined))],
    ['compile without outputs', () => program({ outputs: [] })],
    ['output in no slot', () => program({ outputs: [{ node: 0, slot: 5, offset: 0 }] })],
    ['output beyond its slot', () => program({ outputs: [{ node: 0, slot: 1, offset: 1 }] })],
    ['output that is read', () => program({ outputs: [{ node: 0, slot: 0, offset: 0 }] })],
    ['varying slot that does not exist', () => program({ varying: [5] })],
    ['dtype that programs lack', () => program({ dtype: 'int32' })],
    ['unknown device', () => program({ device: 'tpu' })],
    ['device that is not there', () => program({ device: 'cuda:998' }), 'CUDA_UNAVAILABLE'],
    ['vector on a device that is not there', () => new addon.Vector('float32', 1, 1, 'cuda:998'), 'CUDA_UNAVAILABLE'],
    ['too few vectors', () => run([])],
    ['vectors not an array', () => run(null)],
    ['a graph as vector', () => run([small(), null])],
    ['a program as vector', () => run([program(), null])],
    ['a plain object as vector', () => run([{ rows: 1 }, null])],
    ['an object with a vector as prototype', () => run([Object.create(vector()), null])],
    ['a typed array as vector', () => run([new Float32Array(4), null])],
    ['a disposed vector', () => run([disposed(vector()), null]), 'DISPOSED'],
    ['no members', () => run([null, null], { members: 0 })],
    ['negative threads', () => run([null, null], { threads: -1 })],
    ['a million threads', () => run([null, null], { threads: 1e6 })],
    ['NaN memory limit', () => run([null, null], { memoryLimit: NaN })],
    [
      'one vector as input and output',
      () => {
        const both = vector('float32', 1, 4);
        return run([both, both]);
      },
    ],
    ['progress that is no function', () => addon.evaluate(any({}), any(5))],
  ];

  function mismatch() {
    const g = small();
    g.node('input', [], [0, 0], [], [4, 1]);
    return g.node('add', [0, 1]);
  }

  function emptySlot() {
    const g = graph();
    g.slot('x', 'real', 0);
    return g;
  }

  function disposedByGetter() {
    const g = small();
    const inputs = [0];
    Object.defineProperty(inputs, 0, { get: () => (g.dispose(), 0) });
    return g.node('neg', inputs);
  }

  test.each(cases)('%s', (_, call, code = 'INVALID_ARGUMENT') => {
    let caught: { code?: string; message: string } | undefined;
    try {
      call();
    } catch (error) {
      caught = error as { code?: string; message: string };
    }
    expect(caught).toBeInstanceOf(Error);
    expect(caught).toMatchObject({ code, message: expect.stringMatching(/.{8}/) });
  });

  test('a memory limit that is too small', async () => {
    const [x, out] = [vector('float32', 1, 4), vector('float32', 1, 4)];
    expect(await outcome(run([x, out], { memoryLimit: 1 }).promise)).toBe('OUT_OF_MEMORY');
  });

  test('a vector of the wrong size is named', async () => {
    const [x, out] = [vector('float32', 1, 5), vector('float32', 1, 4)];
    await expect(run([x, out]).promise).rejects.toMatchObject({
      code: 'SHAPE_MISMATCH',
      message: expect.stringContaining("'x'"),
    });
  });

  test('methods on another object, and classes without new', () => {
    expect(() => addon.Graph.prototype.node.call(vector(), 'neg', [0])).toThrow();
    expect(() => addon.Vector.prototype.read.call({}, 0, 0, new Float32Array(1))).toThrow();
    expect(() => (addon.Vector as unknown as () => void)()).toThrow();
    const Program = program().constructor as new (argument?: unknown) => unknown;
    expect(() => new Program()).toThrow(/compile/);
    expect(() => new Program({})).toThrow(/compile/);
  });

  test('an error keeps the stack of the caller', () => {
    const callSite = () => vector('float32', -1);
    expect(() => callSite()).toThrow(expect.objectContaining({ stack: expect.stringContaining('callSite') }));
  });
});

describe('memory', () => {
  async function settled(base: number) {
    for (let i = 0; i < 100 && addon.nativeBytes() !== base; i += 1) {
      collect();
      await sleep(5);
    }
    return addon.nativeBytes();
  }

  test('objects that are dropped are given back by the garbage collector', async () => {
    const base = await settled(0);
    for (let i = 0; i < 2000; i += 1) new addon.Vector('float32', 4, 1000).fill(1);
    for (let i = 0; i < 20; i += 1) matmulChain(16, 10);
    expect(await settled(base)).toBe(base);
  });

  test('native memory counts as external: dropped vectors do not pile up until someone asks for a collection', async () => {
    let peak = 0;
    for (let i = 0; i < 200; i += 1) {
      new addon.Vector('uint8', 1, 1 << 24);
      peak = Math.max(peak, addon.nativeBytes());
      await new Promise(setImmediate);
    }
    expect(peak).toBeLessThan((200 * 2 ** 24) / 4);
  });

  test('objects in use by a job survive collection, job after job', async () => {
    const base = await settled(0);
    const timer = setInterval(collect, 1);
    for (let i = 0; i < 200; i += 1) {
      // Nothing but the job refers to the program and the vectors.
      expect(await outcome(matmulChain(64, 20).run().promise)).toBe('resolved');
    }
    clearInterval(timer);
    expect(await settled(base)).toBe(base);
  });
});

test('a missing binary is a typed error that lists possible solutions', async () => {
  vi.stubEnv('PTMZ_NATIVE_PREBUILD', '/nowhere');
  vi.resetModules();
  const { loadNative } = await import('../lib/load.js');
  expect(() => loadNative()).toThrow(
    expect.objectContaining({ code: 'NO_NATIVE', message: expect.stringContaining('npx ptmz build') }),
  );
  vi.unstubAllEnvs();
});

test('info() tells what this build and machine have', () => {
  const info = addon.info();
  expect(info.simd.available).toContain(info.simd.used);
  expect(info.threads).toBeGreaterThan(0);
  expect(info.devices[0]).toEqual({ name: 'cpu', available: true });
  const { name, available, detail, reason } = info.devices[1]!;
  expect(name).toMatch(/^cuda/);
  expect(available ? detail : reason).toMatch(/./);
  for (const text of [info.version, info.compiler, info.blas]) expect(text).toMatch(/./);
});
