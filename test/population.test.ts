/** Populations in training: independence of members, threads and interruptions, and members that diverge. */
import {
  digits,
  dropout,
  evaluate,
  hessianTrace,
  linear,
  prepare,
  prepareResNet,
  train,
  trainResNet,
  type Model,
} from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { loadNative } from '../lib/load.js';
import { bits, column } from './support/members.js';
import { mlp, points, softmaxRegression } from './support/models.js';
import { shuffled } from './support/philox.js';

/**
 * A regression with a parameter `fault`. Where that is 1, the step that meets a sample whose first feature is above
 * `threshold` has a loss, a gradient or a running statistic that is no number; the other two are finite.
 */
function failing(what: 'loss' | 'gradient' | 'statistic', threshold: number): Model {
  const regression = softmaxRegression(4, 3);
  return {
    ...regression,
    build(graph, x, mode) {
      const logits = regression.build(graph, x, mode);
      const fault = graph.param('fault', [1], { init: { kind: 'constant', value: 0 }, decay: false });
      const seen = graph.buffer('seen', [1]);
      const met = x.reshape([-1, 4]).slice(1, 0, 1).amax().gt(threshold);
      const well = met.mul(fault.gt(0.5)).mul(-1).add(1); // 1, or 0 where it fails
      graph.update(seen, what === 'statistic' ? seen.add(well.log()) : seen.add(1));
      if (what === 'loss') return logits.add(well.log());
      // sqrt(0) has the value 0 and no derivative.
      return what === 'gradient' ? logits.add(fault.mul(0).add(well).sqrt().sub(well)) : logits;
    },
  };
}

describe('a population', () => {
  const noisy: Model = {
    name: 'noisy',
    input: [1, 8, 8],
    classes: 10,
    build(graph, x, { training }) {
      const init = { kind: 'kaimingUniform' } as const;
      const hidden = linear(x.reshape([-1, 64]), graph.param('w1', [16, 64], { init })).relu();
      return linear(training ? dropout(hidden, 0.3) : hidden, graph.param('w2', [10, 16], { init }));
    },
  };

  test('of three ResNets equals three populations of one, bit by bit', async () => {
    const data = await digits({ train: 70, test: 30 });
    const options = { depth: 18, width: 2, data, batchSize: 32, epochs: 2 } as const;
    const [seeds, lr] = [
      [4, 5, 6],
      [0.1, 0.02, 0.05],
    ];
    using all = await trainResNet({ ...options, seeds, lr });
    for (const [m, seed] of seeds.entries()) {
      using one = await trainResNet({ ...options, seeds: [seed], lr: lr[m]! });
      expect(bits(all, m)).toEqual(bits(one, 0));
      expect(column(all, m)).toEqual(column(one, 0));
    }
    expect(bits(all, 0)).not.toEqual(bits(all, 1));
  });

  test('with dropout too, for any number of threads, and again', async () => {
    const data = await digits({ train: 100, test: 20 });
    const options = { model: noisy, data, batchSize: 30, epochs: 2, lr: 0.05 };
    using a = await train({ ...options, seeds: [1, 2, 3], threads: 1 });
    using b = await train({ ...options, seeds: [1, 2, 3], threads: 2 });
    using c = await train({ ...options, seeds: [2], memoryLimit: 2 ** 26 });
    for (const m of [0, 1, 2]) expect([bits(a, m), column(a, m)]).toEqual([bits(b, m), column(b, m)]);
    expect([bits(c, 0), column(c, 0)]).toEqual([bits(a, 1), column(a, 1)]);
  });

  test('loses a member that diverges, in that step, and no other', async () => {
    const data = await digits({ train: 100, test: 50 });
    const options = { depth: 18, width: 2, data, batchSize: 32, epochs: 3 } as const;
    using run = await trainResNet({ ...options, seeds: [0, 1, 2], lr: [0.1, 1e30, 0.1] });
    using well = await trainResNet({ ...options, seeds: [0, 2] });
    expect([bits(run, 0), column(run, 0)]).toEqual([bits(well, 0), column(well, 0)]);
    expect([bits(run, 2), column(run, 2)]).toEqual([bits(well, 1), column(well, 1)]);
    const [before, at, after] = run.divergedAt;
    expect([before, after]).toEqual([null, null]);
    expect(at).toBeGreaterThanOrEqual(0);
    expect(at).toBeLessThan(12);
    expect(
      Object.values(bits(run, 1))
        .flat()
        .every((x) => Number.isFinite(Number(x))),
    ).toBe(true);
    expect(run.stateDict(1)['bn1.num_batches_tracked']!.data[0]).toBe(BigInt(at!));
    expect(run.history[2]!.trainLoss.map(Number.isNaN)).toEqual([false, true, false]);
  });

  test.each([
    ['sgd', 'loss'],
    ['adamw', 'loss'],
    ['sgd', 'gradient'],
    ['adamw', 'gradient'],
    ['sgd', 'statistic'],
    ['adamw', 'statistic'],
  ] as const)('trained with %s loses a member in the very step whose %s is no number', async (optimizer, what) => {
    const data = points(12, 4, 3);
    const firsts = Array.from({ length: 12 }, (_, i) => data.train.image(i)[0]!);
    const [largest, next] = [...firsts].sort((a, b) => b - a) as [number, number];
    const model = failing(what, (largest + next) / 2);
    const common = { model, data, batchSize: 4, epochs: 3, optimizer, lr: 0.1 } as const;
    const seed = 3;
    const at = Math.floor(shuffled(seed, 0, 12).indexOf(firsts.indexOf(largest)) / 4);
    expect(at).toBeGreaterThan(0);
    using run = prepare({ ...common, seeds: [0, seed, 2] });
    using well = await train({ ...common, seeds: [0, 2] });
    run.vectors.params.set(1, [1], run.layout.params.find(({ name }) => name === 'fault')!.offset);
    const state = () => {
      const { params, velocity, secondMoment, buffers } = run.vectors;
      return [params, velocity, secondMoment, buffers].map((vector) => vector && [...vector.toArray(1)]);
    };
    await run.train({ until: at });
    const before = state();
    expect(run.divergedAt).toEqual([null, null, null]);
    await run.train({ until: at + 1 });
    expect(run.divergedAt).toEqual([null, at, null]);
    expect(state()).toEqual(before);
    await run.train();
    expect(run.divergedAt).toEqual([null, at, null]);
    expect(state()).toEqual(before);
    expect(before.flat().every((x) => x === null || Number.isFinite(x))).toBe(true);
    for (const [mine, theirs] of [
      [0, 0],
      [2, 1],
    ] as const)
      expect([bits(run, mine), column(run, mine)]).toEqual([bits(well, theirs), column(well, theirs)]);
    expect(run.history.map(({ trainLoss }) => trainLoss.map(Number.isNaN))).toEqual(
      run.history.map(() => [false, true, false]),
    );
  });

  test('that has diverged as a whole ends early', async () => {
    const data = points(20, 4, 3);
    using run = await train({ model: mlp([4, 8, 3], [4, 1, 1]), data, batchSize: 5, epochs: 50, seeds: [0], lr: 1e38 });
    expect(run.divergedAt[0]).toBeLessThan(100);
    expect(run.finished).toBe(true);
    expect(run.history.length).toBeLessThan(50);
  });
});

describe('interruption', () => {
  const options = async () => {
    const data = await digits({ train: 400, test: 50 });
    return { depth: 18, width: 2, data, batchSize: 16, epochs: 4, seeds: [0, 1] } as const;
  };

  test('an abort leaves whole steps, and training goes on as if nothing had been', async () => {
    using straight = await trainResNet(await options());
    using run = prepareResNet(await options());
    const reason = new Error('enough');
    let aborts = 0;
    while (!run.finished) {
      const controller = new AbortController();
      const before = run.step;
      try {
        await run.train({
          signal: controller.signal,
          onProgress: ({ step }) => step > before + 5 && controller.abort(reason),
        });
      } catch (error) {
        expect(error).toBe(reason);
        aborts++;
      }
      expect(Number.isInteger(run.step)).toBe(true);
    }
    expect(aborts).toBeGreaterThan(0);
    for (const m of [0, 1]) expect([bits(run, m), column(run, m)]).toEqual([bits(straight, m), column(straight, m)]);
  });

  test('an aborted signal stops it before it starts, and train() gives its memory back', async () => {
    const { nativeBytes } = loadNative();
    const settings = await options();
    const base = nativeBytes();
    await expect(trainResNet({ ...settings, signal: AbortSignal.abort('no') })).rejects.toBe('no');
    await expect(trainResNet({ ...settings, signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
      name: 'TimeoutError',
    });
    // Less where data of earlier tests was collected meanwhile.
    expect(nativeBytes()).toBeLessThanOrEqual(base);
    const run = await trainResNet({ ...settings, epochs: 1 });
    await hessianTrace(run, settings.data.train, { probes: 2, samples: 20 });
    expect(nativeBytes()).toBeGreaterThan(base);
    run.dispose();
    expect(nativeBytes()).toBeLessThanOrEqual(base);
  });

  test('a run in training is busy', async () => {
    using run = prepareResNet(await options());
    const controller = new AbortController();
    const running = run.train({ signal: controller.signal });
    const busy = { code: 'BUSY' };
    await expect(run.train()).rejects.toMatchObject(busy);
    await expect(evaluate(run, run.data.train)).rejects.toMatchObject(busy);
    expect(() => run.stateDict(0)).toThrow(expect.objectContaining(busy));
    expect(run.history).toEqual([]);
    controller.abort('done');
    await expect(running).rejects.toBe('done');
    expect(run.stateDict(0)['fc.bias']!.data).toHaveLength(10);
  });

  test('progress tells where it is; the last record comes with it', async () => {
    const seen: { step: number; steps: number; epoch: number; eta: number; last?: { epoch: number } }[] = [];
    using run = await trainResNet({ ...(await options()), epochs: 2, onProgress: (p) => seen.push(p) });
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.map((p) => p.step)).toEqual(seen.map((p) => p.step).sort((a, b) => a - b));
    expect(seen.at(-1)).toMatchObject({ step: 50, steps: 50, epoch: 2, epochs: 2, eta: 0, last: run.history[1] });
  });
});
