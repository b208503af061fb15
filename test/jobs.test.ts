/** Jobs: aborting, locking, disposal, progress, and the end of a worker or of the process in the middle of a run. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { addon, endlessRun, matmulChain, options, outcome, shortRun, sleep } from './support/long-run.mjs';

type Chain = ReturnType<typeof matmulChain>;
const chains: Chain[] = [];
const use = (chain: Chain) => {
  chains.push(chain);
  return chain;
};
afterEach(() => chains.splice(0).forEach((chain) => chain.dispose()));

/** The code of the error that `call` throws at once. */
function codeOf(call: () => unknown): string | undefined {
  try {
    call();
  } catch (error) {
    return (error as { code?: string }).code;
  }
  return undefined;
}

/** Waits until all native memory but `base` is given back. */
async function expectBytes(base: number) {
  for (const start = Date.now(); addon.nativeBytes() !== base && Date.now() - start < 2000;) await sleep(5);
  expect(addon.nativeBytes()).toBe(base);
}

describe('abort', () => {
  test('before the job has begun: at once, also while another job has the device', async () => {
    const [running, waiting] = [use(endlessRun()), use(shortRun())];
    const first = running.run();
    await sleep(30);
    const second = waiting.run();
    const start = performance.now();
    second.cancel();
    expect(await outcome(second.promise)).toBe('ABORTED');
    expect(performance.now() - start).toBeLessThan(100);
    first.cancel();
    expect(await outcome(first.promise)).toBe('ABORTED');
  });

  test('in the middle of a run: within half a second, and the next run works', async () => {
    const chain = use(endlessRun());
    const latencies: number[] = [];
    for (let i = 0; i < 10; i += 1) {
      const job = chain.run();
      await sleep(10 + 3 * i);
      const start = performance.now();
      job.cancel();
      await expect(job.promise).rejects.toMatchObject({ code: 'ABORTED' });
      latencies.push(performance.now() - start);
    }
    console.log(`abort latency: at most ${Math.max(...latencies).toFixed(1)} ms`);
    expect(Math.max(...latencies)).toBeLessThan(500);
    expect(await outcome(use(shortRun()).run().promise)).toBe('resolved');
  });

  test('after the end, and twice: nothing happens', async () => {
    const job = use(shortRun()).run();
    expect(await outcome(job.promise)).toBe('resolved');
    job.cancel();
    job.cancel();
    expect(await outcome(job.promise)).toBe('resolved');
  });

  test('jobs run in the order they were started', async () => {
    const order: number[] = [];
    const jobs = [0, 1, 2, 3].map((i) =>
      use(shortRun())
        .run()
        .promise.then(() => order.push(i)),
    );
    await Promise.all(jobs);
    expect(order).toEqual([0, 1, 2, 3]);
  });
});

describe('BUSY', () => {
  test('a program runs one job at a time', async () => {
    const chain = use(endlessRun());
    const other = use(shortRun());
    const job = chain.run();
    expect(codeOf(() => chain.program.run([other.input, other.output], options))).toBe('BUSY');
    expect(() => chain.run()).toThrow(/program/);
    job.cancel();
    await outcome(job.promise);
    const again = chain.run();
    again.cancel();
    expect(await outcome(again.promise)).toBe('ABORTED');
  });

  test('inputs may be read by others, not written; outputs are exclusive; a refused run holds nothing', async () => {
    const [a, b] = [use(endlessRun()), use(matmulChain(512, 1))];
    const job = a.run();
    const target = new Float32Array(4);
    a.input.read(0, 0, target);
    expect(codeOf(() => a.input.write(0, 0, target))).toBe('BUSY');
    expect(codeOf(() => a.input.fill(1))).toBe('BUSY');
    expect(codeOf(() => a.output.read(0, 0, target))).toBe('BUSY');
    expect(codeOf(() => a.output.fill(1))).toBe('BUSY');
    // In both directions: an output that someone reads, and an input that someone writes.
    expect(codeOf(() => b.program.run([b.input, a.input], options))).toBe('BUSY');
    expect(() => b.program.run([a.output, b.output], options)).toThrow(/vector 'a'/);
    expect(codeOf(() => b.program.run([a.output, b.output], options))).toBe('BUSY');
    // What the refused runs had taken is free again; the shared input is no obstacle.
    b.input.fill(0);
    b.output.fill(0);
    const shared = b.program.run([a.input, b.output], options);
    job.cancel();
    expect(await Promise.all([job.promise, shared.promise].map(outcome))).toEqual(['ABORTED', 'resolved']);
    a.input.write(0, 0, target);
    a.output.write(0, 0, target);
  });

  test('100 rounds of starting while busy', async () => {
    const chain = use(endlessRun());
    let refused = 0;
    for (let i = 0; i < 100; i += 1) {
      const job = chain.run();
      if (codeOf(() => chain.run()) === 'BUSY') refused += 1;
      job.cancel();
      await outcome(job.promise);
    }
    expect(refused).toBe(100);
  });

  test('an error in the run frees everything', async () => {
    const chain = use(matmulChain(64, 1));
    const wrong = new addon.Vector('float64', 1, 64 * 64);
    expect(await outcome(chain.program.run([wrong, chain.output], options).promise)).toBe('INVALID_ARGUMENT');
    wrong.fill(1);
    wrong.dispose();
    expect(await outcome(chain.program.run([null, chain.output], options).promise)).toBe('INVALID_ARGUMENT');
    expect(await outcome(chain.run().promise)).toBe('resolved');
  });
});

describe('dispose', () => {
  test('during a run: the objects are dead at once, the memory goes when the job ends', async () => {
    const base = addon.nativeBytes();
    const chain = endlessRun();
    const job = chain.run();
    await sleep(20);
    chain.dispose();
    expect(codeOf(() => chain.run())).toBe('DISPOSED');
    expect(codeOf(() => chain.program.dump())).toBe('DISPOSED');
    expect(codeOf(() => chain.input.rows)).toBe('DISPOSED');
    expect(addon.nativeBytes()).toBeGreaterThan(base);
    job.cancel();
    expect(await outcome(job.promise)).toBe('ABORTED');
    await expectBytes(base);
    chain.dispose();
  });

  test('during a run that then completes', async () => {
    const base = addon.nativeBytes();
    const chain = shortRun();
    const job = chain.run();
    chain.dispose();
    await expect(job.promise).resolves.toMatchObject({ sharedLaunches: 20 });
    await expectBytes(base);
  });
});

describe('progress', () => {
  /** evaluate() over `count` samples, a few milliseconds per batch. */
  function evaluation(count: number, onProgress: (fields: number[]) => void) {
    const n = 256;
    const graph = new addon.Graph();
    const slots = {
      x: graph.slot('x', 'real', n * n),
      y: graph.slot('y', 'index', n),
      loss: graph.slot('loss', 'real', 1),
    };
    const x = graph.node('input', [], [slots.x, 0], [], [n, n]);
    let product = x;
    for (let i = 0; i < 20; i += 1) product = graph.node('matmul', [product, x], [0, 0]);
    const loss = graph.node('reshape', [graph.node('sum', [product], [0, 1])], [], [], [1]);
    const program = graph.compile({
      outputs: [{ node: loss, slot: slots.loss, offset: 0 }],
      dtype: 'float32',
      varying: [],
      fuse: true,
      device: 'cpu',
    });
    const vectors = [
      new addon.Vector('float32', 1, n * n),
      new addon.Vector('int32', 1, n),
      new addon.Vector('float32', 1, 1),
    ];
    const samples = new addon.Vector('uint8', 1, count * n);
    const labels = new addon.Vector('int32', 1, count);
    try {
      return addon.evaluate(
        {
          batch: {
            program,
            vectors,
            batch: n,
            slots: { x: slots.x, y: slots.y, loss: slots.loss, correct: slots.loss },
          },
          tail: null,
          data: { samples, labels, count, channels: 1, plane: n, mean: [0], deviation: [1], window: 0, stride: 1 },
          members: 1,
          classes: 10,
          threads: 1,
          memoryLimit: 0,
        },
        onProgress,
      );
    } finally {
      for (const object of [graph, program, ...vectors, samples, labels]) object.dispose();
    }
  }

  test('arrives in order, at most 30 times a second', async () => {
    const base = addon.nativeBytes();
    const fractions: number[] = [];
    const start = performance.now();
    const job = evaluation(256 * 40, (fields) => fractions.push(fields[0]!));
    await expect(job.promise).resolves.toMatchObject({ loss: [expect.any(Number)] });
    const seconds = (performance.now() - start) / 1000;
    expect(fractions.length).toBeGreaterThan(1);
    expect(fractions.length).toBeLessThanOrEqual(seconds * 31 + 2);
    expect(fractions).toEqual([...fractions].sort((p, q) => p - q));
    await expectBytes(base);
  });

  test('a callback that throws is an uncaught exception and stops the run', async () => {
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const caught: unknown[] = [];
    process.on('uncaughtException', (error) => caught.push(error));
    try {
      const job = evaluation(256 * 1000, () => {
        throw new Error('on purpose');
      });
      expect(await outcome(job.promise)).toBe('ABORTED');
    } finally {
      process.removeAllListeners('uncaughtException');
      listeners.forEach((listener) => process.on('uncaughtException', listener));
    }
    expect(caught.map(String)).toEqual(['Error: on purpose']);
  });

  test('must be a function', () => {
    expect(() => evaluation(256, 5 as never)).toThrow(/onProgress/);
  });
});

test('the event loop goes on during a run', async () => {
  const chain = use(endlessRun());
  const delay = monitorEventLoopDelay({ resolution: 5 });
  const job = chain.program.run([chain.input, chain.output], { ...options, threads: 0 });
  delay.enable();
  await sleep(500);
  delay.disable();
  job.cancel();
  await outcome(job.promise);
  console.log(
    `event loop during a run: mean ${(delay.mean / 1e6).toFixed(1)} ms, max ${(delay.max / 1e6).toFixed(1)} ms`,
  );
  // Its timer ticks every 5 ms; a blocked loop would be off by the whole run.
  expect(delay.max / 1e6).toBeLessThan(400);
});

describe('the end of an environment', () => {
  const worker = (data = {}) =>
    new Worker(new URL('./support/running-worker.mjs', import.meta.url), { workerData: data });

  test('20 workers terminated in the middle of a run', async () => {
    const base = addon.nativeBytes();
    for (let i = 0; i < 20; i += 1) {
      const thread = worker();
      // Some before they have even loaded the addon.
      if (i % 5 !== 4) await new Promise((resolve) => thread.once('message', resolve));
      await sleep((i * 7) % 40);
      await thread.terminate();
    }
    await expectBytes(base);
    expect(await outcome(use(shortRun()).run().promise)).toBe('resolved');
  });

  test('four workers at once, while this thread runs a job too', async () => {
    const base = addon.nativeBytes();
    const threads = Array.from({ length: 4 }, () => worker());
    await Promise.all(threads.map((thread) => new Promise((resolve) => thread.once('message', resolve))));
    const chain = shortRun();
    const job = chain.run();
    await Promise.all(threads.map((thread) => thread.terminate()));
    expect(await outcome(job.promise)).toBe('resolved');
    chain.dispose();
    await expectBytes(base);
  });

  /** Runs a script in a process of its own. */
  function child(args: string[]) {
    return new Promise<{ code: number | null; signal: string | null; endedIn: number; output: string }>((resolve) => {
      const process_ = spawn(process.execPath, args);
      let output = '';
      let ending = 0;
      process_.stdout.on('data', (data: Buffer) => {
        output += data.toString();
        if (output.includes('ending')) ending ||= performance.now();
      });
      process_.stderr.on('data', (data: Buffer) => (output += data.toString()));
      process_.on('close', (code, signal) => resolve({ code, signal, output, endedIn: performance.now() - ending }));
    });
  }
  const script = fileURLToPath(new URL('./support/exit-mid-run.mjs', import.meta.url));

  test.each([
    ['exit', 3],
    ['error', 1],
    ['return', 0],
  ])('process end by %s in the middle of a run: exit code %i, under a second', async (how, code) => {
    const result = await child([script, how]);
    expect(result).toMatchObject({ code, signal: null });
    expect(result.endedIn).toBeLessThan(1000);
  });

  test('addon loaded in workers only, one after the other', async () => {
    const code = `
      const { Worker } = require('node:worker_threads');
      const file = new URL(${JSON.stringify(new URL('./support/running-worker.mjs', import.meta.url).href)});
      (async () => {
        for (let i = 0; i < 10; i += 1) {
          const worker = new Worker(file, { workerData: { loadOnly: i % 2 === 0 } });
          await new Promise((resolve) => worker.once('message', resolve));
          if (i % 2 === 0) await new Promise((resolve) => worker.once('exit', resolve));
          else await worker.terminate();
        }
        process.stdout.write('ending');
      })();`;
    expect(await child(['-e', code])).toMatchObject({ code: 0, signal: null });
  });
});
