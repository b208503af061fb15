/** Populations of quadratic losses, whose Hessians are diagonal and known. */
import { prepare, type Model } from 'ptmz-native';
import { expect } from 'vitest';
import { points } from './models.js';

/** loss = sum c_i a_i^2 / 2, so the Hessian is diag(c). */
export const quadratic = (curvatures: readonly number[], scale = 1): Model => ({
  name: 'quadratic',
  input: [3, 1, 1],
  classes: curvatures.length,
  build: (graph, x) =>
    graph
      .param('a', [curvatures.length], { init: { kind: 'normal', std: 1 } })
      .expand([x.shape[0]!, curvatures.length]),
  loss(logits) {
    const terms = curvatures.map((c, i) =>
      logits
        .slice(1, i, i + 1)
        .square()
        .mean()
        .mul((c / 2) * scale),
    );
    return terms.reduce((sum, term) => sum.add(term));
  },
});

/** Samples, of which the loss makes no use. */
export const data = points(10, 3, 1);
/** A population of them, so its Hessians are known. */
export const diagonal = (curvatures: readonly number[], seeds = [0, 1]) =>
  prepare({ model: quadratic(curvatures), data, batchSize: 10, epochs: 1, seeds, dtype: 'float64' });

export const largestError = (a: readonly number[], b: readonly number[]) => {
  expect(a).toHaveLength(b.length);
  return Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
};
