/** Optimizers: SGD and AdamW against plain references, with the order of samples that the trainer promises. */
import {
  arrays,
  digits,
  prepare,
  prepareResNet,
  scheduleTable,
  train,
  trainResNet,
  type DataSet,
  type Run,
  type ScheduleTable,
  type TrainOptions,
} from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { bits, column } from './support/members.js';
import { points, softmaxRegression } from './support/models.js';
import { shuffled } from './support/philox.js';
import { regression } from './support/regression.js';

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
