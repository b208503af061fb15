/**
 * A wave equation of our own as a population of networks: the terms of the loss, written in a few lines, and one member
 * per speed. u_tt = c^2 u_xx on [0, pi] x [0, 1], u = sin x and u_t = 0 at the start, u = 0 at both ends; the solution
 * is sin x cos c t.
 *
 * Run it in a checkout after `npm run bootstrap`: node examples/pinn/main.mjs
 */
import { derivative, field, points, train } from 'ptmz-native';

const steps = 12;
const line = (from, to, n) => Array.from({ length: n }, (_, i) => from + ((to - from) * i) / (n - 1));
const xs = line(0, Math.PI, steps);
const ts = line(0, 1, steps);
const grid = { x: xs.flatMap((x) => ts.map(() => x)), t: xs.flatMap(() => ts) };

/** @type {import('ptmz-native').Problem} */
const wave = {
  name: 'wave',
  constants: ['c'],
  build(graph, { c }) {
    const u = field(graph, [2, 24, 24, 1]);
    const inside = points(graph, 'inside', grid);
    const start = points(graph, 'start', { x: xs, t: xs.map(() => 0) });
    const ends = points(graph, 'ends', { x: ts.flatMap(() => [0, Math.PI]), t: ts.flatMap((t) => [t, t]) });

    const value = u(inside.x, inside.t);
    const twice = (coordinate) => derivative(derivative(value, coordinate), coordinate);
    const equation = twice(inside.t).sub(twice(inside.x).mul(c.square()));
    const first = u(start.x, start.t);
    const terms = {
      equation: equation.square().mean(),
      start: first.sub(start.x.sin()).square().mean(),
      rest: derivative(first, start.t).square().mean(),
      ends: u(ends.x, ends.t).square().mean(),
    };
    const exact = inside.x.sin().mul(inside.t.mul(c).cos());
    const error = value.sub(exact).square().mean().div(exact.square().mean()).sqrt();
    return { terms, error };
  },
};

const speeds = [0.5, 1, 2];
const run = await train({
  model: wave,
  constants: { c: speeds },
  optimizer: 'lbfgs',
  seeds: speeds.map(() => 0),
  epochs: 3,
  stepsPerEpoch: 100,
});
for (const { epoch, trainLoss, testLoss } of run.history)
  console.log(
    `after ${epoch * 100} steps: ` +
      speeds
        .map((c, m) => `c = ${c}: loss ${trainLoss[m].toExponential(1)}, error ${testLoss[m].toFixed(4)}`)
        .join('; '),
  );
console.log(`evaluations: ${run.evaluations.join(', ')}`);
run.dispose();
