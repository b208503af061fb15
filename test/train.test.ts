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
  type ScheduleTable,
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

/** torch.optim.AdamW written out for softmax regression in the order of the data; the bias does not decay. */
function adamw(data: DataSet, start: number[], table: ScheduleTable, decay: number, beta2: number) {
  const [features, classes] = [data.train.shape[1], data.classes];
  const xs = Array.from({ length: data.train.count }, (_, i) => [...data.train.image(i)]);
  const p = [...start];
  const [m, v] = [start.map(() => 0), start.map(() => 0)];
  table.lr.forEach((lr, step) => {
    // OneCycle cycles beta1, and torch corrects the bias by the power of its present value.
    const b1 = table.momentum[step]!;
    const { grad } = regression(p, xs, [...data.train.labels], classes);
    const [bias1, bias2] = [1 - b1 ** (step + 1), 1 - beta2 ** (step + 1)];
    grad.forEach((g, i) => {
      if (i < features * classes) p[i]! *= 1 - lr * decay;
      m[i] = b1 * m[i]! + (1 - b1) * g;
      v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
      p[i]! -= ((lr / bias1) * m[i]!) / (Math.sqrt(v[i]!) / Math.sqrt(bias2) + 1e-6);
    });
  });
  return p;
}

describe('AdamW', () => {
  test.each(['onecycle', 'cosine'] as const)(
    'with %s follows the reference, each member with its own',
    async (schedule) => {
      const data = points(11, 4, 3);
      const [lr, weightDecay, seeds] = [
        [0.3, 0.05],
        [0.01, 0.2],
        [7, 8],
      ];
      const optimizer = { kind: 'adamw', betas: [0.8, 0.95], eps: 1e-6, weightDecay } as const;
      const model = softmaxRegression(4, 3);
      const options = {
        model,
        data,
        batchSize: 11,
        epochs: 6,
        seeds,
        lr,
        optimizer,
        schedule,
        shuffle: false,
      } as const;
      using run = prepare({ ...options, dtype: 'float64' });
      const values = (m: number) => Object.values(run.stateDict(m)).flatMap(({ data }) => Array.from(data, Number));
      const starts = seeds.map((_, m) => values(m));
      await run.train();
      seeds.forEach((_, m) => {
        const table = scheduleTable(schedule, { steps: 6, lr: lr[m]!, momentum: 0.8 });
        expect(new Set(table.momentum).size).toBe(schedule === 'onecycle' ? 5 : 1);
        const expected = adamw(data, starts[m]!, table, weightDecay[m]!, 0.95);
        values(m).forEach((x, i) => expect(x).toBeCloseTo(expected[i]!, 12));
      });
    },
  );

  test('has 0.01 weight decay where nothing is said, and takes the short form', async () => {
    const common = { model: softmaxRegression(4, 3), data: points(12, 4, 3), batchSize: 4, epochs: 2, seeds: [1] };
    using a = await train({ ...common, optimizer: 'adamw' });
    using b = await train({ ...common, optimizer: { kind: 'adamw', weightDecay: 0.01 } });
    using c = await train({ ...common, optimizer: 'adamw', weightDecay: 0.5 });
    expect(bits(a, 0)).toEqual(bits(b, 0));
    expect(bits(c, 0)).not.toEqual(bits(b, 0));
  });

  test('does not depend on other members and threads, and goes on where it stopped', async () => {
    const data = await digits({ train: 70, test: 20 });
    const common = { depth: 18, width: 2, data, batchSize: 32, epochs: 2, lr: 0.01, optimizer: 'adamw' } as const;
    using all = await trainResNet({ ...common, seeds: [1, 2, 3], threads: 2 });
    using one = prepareResNet({ ...common, seeds: [2] });
    for (const until of [1, 3, 4]) {
      await one.train({ until, threads: 1 });
      expect(one.step).toBe(until);
    }
    await one.train();
    expect([bits(one, 0), column(one, 0)]).toEqual([bits(all, 1), column(all, 1)]);
  });
});

test('without shuffling the samples come as they are stored, in every epoch and for every member', async () => {
  const data = points(9, 4, 3);
  const swapped = arrays({
    images: Float32Array.from({ length: 36 }, (_, i) => data.train.image(8 - Math.floor(i / 4))[i % 4]!),
    shape: [9, 4, 1, 1],
    labels: [...data.train.labels].reverse(),
    classes: 3,
    normalise: data.train.normalisation,
  });
  const common = { model: softmaxRegression(4, 3), batchSize: 1, epochs: 2, dtype: 'float64', shuffle: false } as const;
  using a = await train({ ...common, data, seeds: [4] });
  using b = await train({ ...common, data: swapped, seeds: [4] });
  expect(bits(a, 0)).not.toEqual(bits(b, 0));
  // One batch of all samples has no order, up to rounding.
  using c = await train({ ...common, data, seeds: [4], batchSize: 9 });
  using d = await train({ ...common, data: swapped, seeds: [4], batchSize: 9 });
  const numbers = (run: Run) => Object.values(bits(run, 0)).flat().map(Number);
  numbers(c).forEach((x, i) => expect(x).toBeCloseTo(numbers(d)[i]!, 12));
});

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
    ['an unknown optimizer', { optimizer: 'adam' }, /optimizer.*'adam'/],
    ['an unknown setting of it', { optimizer: { kind: 'adamw', beta: 1 } }, /optimizer.*beta/],
    ['a setting of the other one', { optimizer: { kind: 'sgd', eps: 1 } }, /optimizer.*eps/],
    ['a beta of one', { optimizer: { kind: 'adamw', betas: [0.9, 1] } }, /optimizer\.betas\[1\].*1/],
    ['one beta', { optimizer: { kind: 'adamw', betas: [0.9] } }, /optimizer\.betas/],
    ['a negative eps', { optimizer: { kind: 'adamw', eps: -1 } }, /optimizer\.eps.*-1/],
    ['too few decays', { optimizer: { kind: 'sgd', weightDecay: [0] } }, /length 2 for optimizer\.weightDecay/],
    ['momentum beside AdamW', { optimizer: 'adamw', momentum: 0.9 }, /momentum is no setting of .*'adamw'/],
    ['a setting twice', { optimizer: { kind: 'sgd' }, weightDecay: 1 }, /weightDecay belongs into optimizer/],
    ['a shuffle that is no boolean', { shuffle: 1 }, /shuffle.*1/],
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
    ['no step', { until: 0 }, /until.*0/],
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
