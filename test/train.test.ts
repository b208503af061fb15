/** Training: against a plain reference, independence of members, threads and interruptions, divergence, evaluation. */
import {
  arrays,
  digits,
  dropout,
  evaluate,
  hessianTrace,
  linear,
  prepare,
  prepareResNet,
  PtmzError,
  scheduleTable,
  train,
  trainResNet,
  type DataSet,
  type Model,
  type Run,
  type TrainOptions,
} from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { loadNative } from '../lib/load.js';
import { mlp, points, softmaxRegression } from './support/models.js';
import { shuffled } from './support/philox.js';

/** All numbers of a member, to be compared bit by bit. */
const bits = (run: Run, member: number) =>
  Object.fromEntries(Object.entries(run.stateDict(member)).map(([name, { data }]) => [name, [...data]]));
const column = (run: Run, member: number) =>
  run.history.map((r) => [r.trainLoss, r.trainAccuracy, r.testLoss, r.testAccuracy].map((values) => values[member]));

/** Loss, right answers and gradient of softmax regression on some samples. */
function regression(weights: number[], xs: number[][], ys: number[], classes: number) {
  const features = xs[0]!.length;
  const grad = weights.map(() => 0);
  let [loss, correct] = [0, 0];
  xs.forEach((x, i) => {
    const z = Array.from({ length: classes }, (_, c) =>
      x.reduce((sum, xj, j) => sum + xj * weights[c * features + j]!, weights[classes * features + c]!),
    );
    const max = Math.max(...z);
    const total = z.reduce((sum, zc) => sum + Math.exp(zc - max), 0);
    loss += (Math.log(total) + max - z[ys[i]!]!) / xs.length;
    if (z.indexOf(max) === ys[i]) correct++;
    z.forEach((zc, c) => {
      const d = (Math.exp(zc - max) / total - (c === ys[i] ? 1 : 0)) / xs.length;
      x.forEach((xj, j) => (grad[c * features + j]! += d * xj));
      grad[classes * features + c]! += d;
    });
  });
  return { loss, correct, grad };
}

/** torch.optim.SGD written out, with the order of samples that the trainer promises. */
function reference(
  data: DataSet,
  start: number[],
  seed: number,
  lrs: number[],
  momenta: number[],
  o: TrainOptions,
  decay: number,
) {
  const [features, classes] = [data.train.shape[1], data.classes];
  const rows = (split: DataSet['train']) => Array.from({ length: split.count }, (_, i) => [...split.image(i)]);
  const [xs, testXs] = [rows(data.train), rows(data.test!)];
  let [p, velocity] = [[...start], start.map(() => 0)];
  const history: number[][] = [];
  let step = 0;
  for (let epoch = 0; epoch < o.epochs; epoch++) {
    const order = shuffled(seed, epoch, xs.length);
    let [loss, correct] = [0, 0];
    for (let first = 0; first < xs.length; first += o.batchSize, step++) {
      const batch = order.slice(first, first + o.batchSize);
      const got = regression(
        p,
        batch.map((i) => xs[i]!),
        batch.map((i) => data.train.labels[i]!),
        classes,
      );
      loss += got.loss * batch.length;
      correct += got.correct;
      const g = got.grad.map((gi, i) => gi + (i < features * classes ? decay * p[i]! : 0));
      velocity = velocity.map((v, i) => momenta[step]! * v + g[i]!);
      p = p.map((pi, i) => pi - lrs[step]! * (o.nesterov ? g[i]! + momenta[step]! * velocity[i]! : velocity[i]!));
    }
    const tested = regression(p, testXs, [...data.test!.labels], classes);
    history.push([loss / xs.length, correct / xs.length, tested.loss, tested.correct / testXs.length]);
  }
  return { p, history };
}

describe('SGD', () => {
  test.each([
    ['OneCycle', { schedule: 'onecycle' }],
    ['Nesterov', { schedule: 'cosine', nesterov: true, momentum: 0.8 }],
    ['plain', { schedule: 'constant', momentum: 0 }],
  ] as const)('%s follows the reference, each member with its own rate, decay and order', async (_, settings) => {
    const [features, classes] = [4, 3];
    const data = points(22, features, classes, true);
    const [lr, weightDecay, seeds] = [
      [0.3, 0.05],
      [0.01, 0.2],
      [7, 2 ** 40 + 3],
    ];
    const model = softmaxRegression(features, classes);
    const common = { model, data, batchSize: 8, epochs: 3, seeds, lr, weightDecay, evaluationBatch: 5 };
    const options: TrainOptions = { ...common, ...settings, dtype: 'float64' };
    using run = prepare(options);
    const values = (m: number) => Object.values(run.stateDict(m)).flatMap(({ data }) => Array.from(data, Number));
    const starts = seeds.map((_, m) => values(m));
    await run.train();
    seeds.forEach((seed, m) => {
      const { momentum = 0.9 } = settings as { momentum?: number };
      const table = scheduleTable(settings.schedule, { steps: 9, lr: lr[m]!, momentum });
      const expected = reference(data, starts[m]!, seed, table.lr, table.momentum, options, weightDecay[m]!);
      const close = (a: number[], b: number[]) => a.forEach((x, i) => expect(x).toBeCloseTo(b[i]!, 12));
      close(values(m), expected.p);
      expect(run.history).toHaveLength(3);
      close(column(run, m).flat() as number[], expected.history.flat());
    });
    expect([run.step, run.finished, run.divergedAt]).toEqual([9, true, [null, null]]);
  });
});

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
    expect(nativeBytes()).toBe(base);
    const run = await trainResNet({ ...settings, epochs: 1 });
    await hessianTrace(run, settings.data.train, { probes: 2, samples: 20 });
    expect(nativeBytes()).toBeGreaterThan(base);
    run.dispose();
    expect(nativeBytes()).toBe(base);
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

describe('learning', () => {
  test('losses fall and accuracy is far above chance: a ResNet on digits', async () => {
    const data = await digits();
    using run = await trainResNet({ depth: 18, width: 4, data, batchSize: 64, epochs: 5, seeds: [0, 1] });
    const [first, last] = [run.history[0]!, run.history.at(-1)!];
    for (const m of [0, 1]) {
      expect(last.trainLoss[m]).toBeLessThan(0.5 * first.trainLoss[m]!);
      expect(last.trainAccuracy[m]).toBeGreaterThan(0.8);
      expect(last.testAccuracy[m]).toBeGreaterThan(0.7);
    }
  });

  test('evaluate() gives the last record again, and the loss of any images', async () => {
    const data = points(20, 4, 3, true);
    const model = softmaxRegression(4, 3);
    using run = await train({ model, data, batchSize: 6, epochs: 2, seeds: [0, 1], dtype: 'float64', lr: 0.2 });
    const tested = await evaluate(run, data.test!);
    expect(tested.loss).toEqual(run.history[1]!.testLoss);
    expect(tested.accuracy).toEqual(run.history[1]!.testAccuracy);
    const { loss, accuracy } = await evaluate(run, data.train);
    for (const m of [0, 1]) {
      const weights = Object.values(run.stateDict(m)).flatMap(({ data }) => Array.from(data, Number));
      const rows = Array.from({ length: 20 }, (_, i) => [...data.train.image(i)]);
      const own = regression(weights, rows, [...data.train.labels], 3);
      expect(loss[m]).toBeCloseTo(own.loss, 13);
      expect(accuracy[m]).toBe(own.correct / 20);
    }
  });

  test('bytes are normalised: the same pixels as floats train the same', async () => {
    const bytes = Uint8Array.from({ length: 60 * 4 }, (_, i) => (i * 97) % 256);
    const labels = Array.from({ length: 60 }, (_, i) => i % 3);
    const common = { shape: [60, 2, 1, 2], labels } as const;
    const scaled = Float32Array.from(bytes, (x) => x / 255);
    const normalise = { mean: [0.4, 0.5], std: [0.3, 0.2] };
    const options = {
      model: mlp([4, 5, 3], [2, 1, 2]),
      batchSize: 16,
      epochs: 2,
      seeds: [0],
      dtype: 'float64',
    } as const;
    using a = await train({ ...options, data: arrays({ ...common, images: bytes, normalise }) });
    using b = await train({ ...options, data: arrays({ ...common, images: scaled, normalise }) });
    expect(a.history[1]!.trainLoss[0]).toBeCloseTo(b.history[1]!.trainLoss[0]!, 6);
    expect(a.history[1]!.testLoss).toEqual([NaN]);
  });
});

describe('options are checked before any work', () => {
  const data = points(12, 4, 3);
  const good: TrainOptions = { model: softmaxRegression(4, 3), data, batchSize: 4, epochs: 1, seeds: [0, 1] };
  test.each<[string, object, RegExp]>([
    ['no seeds', { seeds: [] }, /at least one seed for seeds/],
    ['a seed that is no integer', { seeds: [0, 0.5] }, /seeds\[1\].*0\.5/],
    ['a negative seed', { seeds: [-1] }, /seeds\[0\].*-1/],
    ['a batch of nothing', { batchSize: 0 }, /batchSize.*0/],
    ['no epochs', { epochs: 0 }, /epochs.*0/],
    ['too few rates', { lr: [0.1] }, /array of length 2 for lr/],
    ['a negative rate', { lr: [0.1, -0.1] }, /lr\[1\].*-0\.1/],
    ['a rate that is text', { lr: '0.1' }, /lr.*'0\.1'/],
    ['a decay of NaN', { weightDecay: NaN }, /weightDecay.*NaN/],
    ['a momentum of two', { momentum: 2 }, /momentum.*2/],
    ['an unknown schedule', { schedule: 'step' }, /schedule.*'step'/],
    ['an unknown option', { batchsize: 4 }, /batchsize/],
    ['another element type', { dtype: 'float16' }, /dtype.*'float16'/],
    ['no data', { data: {} }, /data\.train/],
    ['a model that is none', { model: { name: 'x', input: [1], classes: 2, build: () => 0 } }, /model\.input/],
    ['a model of other images', { model: softmaxRegression(5, 3) }, /takes images of 5 x 1 x 1, these are 4 x 1 x 1/],
    ['a model with too few classes', { model: softmaxRegression(4, 2) }, /at most 2 classes.*3/],
    [
      'logits of another shape',
      { model: { ...softmaxRegression(4, 3), classes: 7 } },
      /expected logits of shape \[4, 7\], got \[4, 3\]/,
    ],
    [
      'a model without parameters',
      {
        model: {
          ...softmaxRegression(4, 3),
          build: (_: unknown, x: { slice: Function }) => x.slice(1, 0, 3).reshape([4, 3]),
        },
      },
      /at least one parameter/,
    ],
    ['a progress that cannot be called', { onProgress: 1 }, /function for onProgress.*1/],
    ['a signal that is none', { signal: 'stop' }, /AbortSignal for signal.*'stop'/],
    ['half a thread', { threads: 0.5 }, /threads.*0\.5/],
  ])('%s', async (_, change, message) => {
    const error = await train({ ...good, ...change } as TrainOptions).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(PtmzError);
    expect(['INVALID_ARGUMENT', 'SHAPE_MISMATCH']).toContain((error as PtmzError).code);
    expect((error as PtmzError).message).toMatch(message);
  });

  test('a disposed run says so', async () => {
    const run = prepare(good);
    run.dispose();
    run.dispose();
    await expect(run.train()).rejects.toMatchObject({ code: 'DISPOSED' });
    expect(() => run.stateDict(0)).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
  });
});
