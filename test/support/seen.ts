/** What a training saw of an image: read off the steps of a model whose gradient is its input. */
import { linear, prepare, type Augment, type DataSet, type Model } from 'ptmz-native';

/** logits = w x with w = 0: the gradient of one step is a mean of x (+-1/2), and with it w tells what x was. */
export function probe(input: Model['input']): Model {
  const size = input.reduce((a, b) => a * b);
  return {
    name: 'probe',
    input,
    classes: 2,
    build: (graph, x) =>
      linear(x.reshape([-1, size]), graph.param('w', [2, size], { init: { kind: 'constant', value: 0 } })),
  };
}

/** What each epoch showed of a data set of one sample, normalised. */
export async function seen(
  data: DataSet,
  augment: Augment,
  seed: number,
  epochs: number,
  device = 'cpu',
): Promise<number[][]> {
  const [, channels, height, width] = data.train.shape;
  const model = probe([channels, height, width]);
  const size = channels * height * width;
  const optimizer = { kind: 'sgd', momentum: 0 } as const;
  const settings = { lr: 1e-9, schedule: 'constant', optimizer, dtype: 'float64', evaluateEvery: 1e6 } as const;
  using run = prepare({ model, data, batchSize: 1, epochs, seeds: [seed], augment, device, ...settings });
  const result: number[][] = [];
  let before = new Array<number>(size).fill(0);
  for (let step = 1; step <= epochs; step++) {
    await run.train({ until: step });
    // The label is 0: w[1] falls by lr * x / 2, up to changes of the softmax by lr^2.
    const w = Array.from(run.stateDict(0)['w']!.data as Float64Array).slice(size);
    result.push(w.map((x, i) => (before[i]! - x) * 2e9));
    before = w;
  }
  return result;
}
