/**
 * A small network with a loss of our own: three quantiles of noisy data at once, one population member per quantile,
 * trained by a loop written by hand. Then the Hessian-vector product is checked against differences of the gradient.
 *
 * Run it in a checkout after `npm run bootstrap`: node examples/custom-loss/main.mjs
 */
import { Graph, initialise, linear, where } from 'ptmz-native';

const samples = 64;
const quantiles = [0.1, 0.5, 0.9];
const members = quantiles.length;

/**
 * Quantile Huber loss (Dabney et al. 2018, equation 10, with kappa = 1): |tau - [r < 0]| huber(r), r = y - prediction.
 * Value and formula are all there is to write; gradient and HVP follow.
 *
 * @param {import('ptmz-native').Value} prediction (N)
 * @param {import('ptmz-native').Value} y (N)
 * @param {import('ptmz-native').Value} tau a scalar in (0, 1)
 */
function quantileHuber(prediction, y, tau) {
  const residual = y.sub(prediction);
  const size = residual.abs();
  const huber = where(size.le(1), size.square().mul(0.5), size.sub(0.5));
  return where(residual.lt(0), tau.neg().add(1), tau).mul(huber).mean();
}

const graph = new Graph();
const x = graph.input('x', [samples, 1]);
const y = graph.input('y', [samples]);
const tau = graph.input('tau', []);

/** @param {string} name @param {import('ptmz-native').Value} input @param {number} size */
function layer(name, input, size) {
  const init = /** @type {const} */ ({ kind: 'kaimingUniform' });
  const weight = graph.param(`${name}.weight`, [size, input.shape[1]], { init });
  return linear(input, weight, graph.param(`${name}.bias`, [size]));
}
const hidden = layer('second', layer('first', x, 16).tanh(), 16).tanh();
const prediction = layer('last', hidden, 1).reshape([samples]);
const loss = quantileHuber(prediction, y, tau);

// tau differs from member to member, as the parameters do; the data are shared.
const varying = ['params', 'v', 'tau'];
const gradient = graph.grad(loss);
const hvp = graph.hvp(loss, graph.direction('v'));
const training = graph.compile({ loss, gradient }, { dtype: 'float64', varying });
const curvature = graph.compile({ gradient, hvp }, { dtype: 'float64', varying });

// y = 3 sin(3x) with noise that grows with x, so that the quantiles spread.
/** @param {number} i */
const noise = (i) => (Math.sin(12.9898 * i) * 43758.5453) % 1;
const inputs = Array.from({ length: samples }, (_, i) => i / samples);
const data = { x: inputs, y: inputs.map((t, i) => 3 * Math.sin(3 * t) + 2 * t * noise(i + 1)), tau: quantiles };

const params = training.vector('params', members);
initialise(graph, { params }, [1, 2, 3]);
const into = { loss: training.vector('loss', members), gradient: training.vector('gradient', members) };
const velocity = quantiles.map(() => new Float64Array(graph.params.size));
const [rate, momentum, steps] = [0.1, 0.9, 600];
/** @type {number[]} */
let first = [];
for (let step = 0; step < steps; step++) {
  await training.run({ ...data, params }, { into });
  if (step === 0) first = quantiles.map((_, member) => into.loss.item(member));
  for (let member = 0; member < members; member++) {
    const weights = params.toArray(member);
    const slope = into.gradient.toArray(member);
    const speed = velocity[member];
    for (let i = 0; i < weights.length; i++) {
      speed[i] = momentum * speed[i] - rate * slope[i];
      weights[i] += speed[i];
    }
    params.set(member, weights);
  }
}
const last = quantiles.map((_, member) => into.loss.item(member));
for (const [member, q] of quantiles.entries())
  console.log(`quantile ${q}: loss ${first[member].toFixed(4)} -> ${last[member].toFixed(4)}`);

// H v against (g(w + h v) - g(w - h v)) / 2h.
const v = curvature.vector('v', members).random({ distribution: 'rademacher', seeds: [1, 2, 3] });
const product = (await curvature.run({ ...data, params, v })).hvp;
const h = 1e-6;
/** @param {number} step */
async function gradientAt(step) {
  const moved = curvature.vector('params', members);
  for (let member = 0; member < members; member++) {
    const [weights, direction] = [params.toArray(member), v.toArray(member)];
    moved.set(
      member,
      weights.map((w, i) => w + step * direction[i]),
    );
  }
  return (await curvature.run({ ...data, params: moved, v })).gradient;
}
const [above, below] = [await gradientAt(h), await gradientAt(-h)];
let [largest, error] = [0, 0];
for (let member = 0; member < members; member++) {
  const [exact, high, low] = [product.toArray(member), above.toArray(member), below.toArray(member)];
  // The gaps between tensors are padding: a direction drawn over the whole vector has numbers there, an HVP has none.
  for (const { offset, shape } of graph.params.entries)
    for (let i = offset; i < offset + shape.reduce((n, size) => n * size, 1); i++) {
      largest = Math.max(largest, Math.abs(exact[i]));
      error = Math.max(error, Math.abs(exact[i] - (high[i] - low[i]) / (2 * h)));
    }
}
console.log(`HVP against differences of the gradient: relative error ${(error / largest).toExponential(1)}`);
graph.dispose();
