/** Softmax regression written out: the plain reference of losses and gradients. */

/** Loss, right answers and gradient of softmax regression on some samples. */
export function regression(weights: number[], xs: number[][], ys: number[], classes: number) {
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
