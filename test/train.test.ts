/** Training: what is learnt, evaluation, and options that are refused before any work. */
import { arrays, digits, evaluate, prepare, PtmzError, train, trainResNet, type TrainOptions } from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { mlp, points, softmaxRegression } from './support/models.js';
import { regression } from './support/regression.js';

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
    ['an unknown optimizer', { optimizer: 'lion' }, /optimizer.*'lion'/],
    ['an unknown setting of it', { optimizer: { kind: 'adamw', beta: 1 } }, /optimizer.*beta/],
    ['a setting of the other one', { optimizer: { kind: 'sgd', eps: 1 } }, /optimizer.*eps/],
    ['a beta of one', { optimizer: { kind: 'adamw', betas: [0.9, 1] } }, /optimizer\.betas\[1\].*1/],
    ['one beta', { optimizer: { kind: 'adamw', betas: [0.9] } }, /optimizer\.betas/],
    ['a negative eps', { optimizer: { kind: 'adamw', eps: -1 } }, /optimizer\.eps.*-1/],
    ['too few decays', { optimizer: { kind: 'sgd', weightDecay: [0] } }, /length 2 for optimizer\.weightDecay/],
    ['momentum beside AdamW', { optimizer: 'adamw', momentum: 0.9 }, /momentum is no setting of .*'adamw'/],
    ['a setting twice', { optimizer: { kind: 'sgd' }, weightDecay: 1 }, /weightDecay belongs into optimizer/],
    ['a shuffle that is no boolean', { shuffle: 1 }, /shuffle.*1/],
    ['an unknown schedule', { schedule: 'triangle' }, /schedule.*'triangle'/],
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
