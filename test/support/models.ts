/** Small models and data for tests of training and curvature. */
import { arrays, linear, type DataSet, type Model, type Value } from 'ptmz-native';

const init = { kind: 'kaimingUniform' } as const;

/** logits = w x + b; the bias does not decay. */
export function softmaxRegression(features: number, classes: number): Model {
  return {
    name: 'softmax-regression',
    input: [features, 1, 1],
    classes,
    build(graph, x) {
      const w = graph.param('weight', [classes, features], { init });
      return linear(x.reshape([-1, features]), w, graph.param('bias', [classes], { decay: false }));
    },
  };
}

/** Fully connected layers of these sizes; parameters are called layer0.weight, layer0.bias and so on. */
export function mlp(sizes: readonly number[], input: Model['input'], activation: 'tanh' | 'relu' = 'tanh'): Model {
  return {
    name: `mlp-${sizes.join('-')}`,
    input,
    classes: sizes.at(-1)!,
    build(graph, x) {
      const layers = sizes.slice(1).map((out, i) => ({
        weight: graph.param(`layer${i}.weight`, [out, sizes[i]!], { init }),
        bias: graph.param(`layer${i}.bias`, [out]),
      }));
      const flat = x.reshape([x.shape[0]!, sizes[0]!]);
      return layers.reduce<Value>((h, { weight, bias }, i) => linear(i > 0 ? h[activation]() : h, weight, bias), flat);
    },
  };
}

/** Points (n, features, 1, 1) whose label depends on the nearest of `classes` fixed directions, a little noisy. */
export function points(n: number, features: number, classes: number, withTest = false): DataSet {
  const value = (i: number, j: number) => Math.fround(Math.sin(12.9898 * (i + 1) + 78.233 * (j + 1)) * 1.5);
  const part = (from: number, count: number) => {
    const images = Float32Array.from({ length: count * features }, (_, k) =>
      value(from + Math.floor(k / features), k % features),
    );
    const labels = Array.from({ length: count }, (_, i) => Math.floor(Math.abs(images[i * features]!) * 7) % classes);
    return { images, shape: [count, features, 1, 1] as const, labels };
  };
  const normalise = { mean: new Array<number>(features).fill(0), std: new Array<number>(features).fill(1) };
  return arrays({ ...part(0, n), classes, normalise, ...(withTest ? { test: part(n, n) } : {}) });
}
