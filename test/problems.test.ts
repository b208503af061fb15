/** Problems: residuals of equations against PyTorch, populations with constants, checkpoints, measures and errors. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  convection,
  convectionEquation,
  derivative,
  evaluate,
  field,
  Graph,
  hessianTrace,
  loadRun,
  loadStateDict,
  points,
  prepare,
  preparePINN,
  train,
  trainPINN,
  Vector,
  type Problem,
  type TrainPINNOptions,
  type Value,
} from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { dense, fillWaves } from './support/waves.js';

const expected = JSON.parse(
  readFileSync(new URL('./fixtures/training/equations.json', import.meta.url), 'utf8'),
) as Record<string, { loss: number; grad: number[]; hvp: number[] }>;

const residuals: Record<string, (u: Value, x: Value, t: Value) => Value> = {
  convection: (u, x, t) => derivative(u, t).add(derivative(u, x).mul(3)),
  reaction: (u, _, t) => derivative(u, t).sub(u.mul(u.neg().add(1)).mul(3)),
  burgers: (u, x, t) =>
    derivative(u, t)
      .add(u.mul(derivative(u, x)))
      .sub(derivative(derivative(u, x), x).mul(3)),
};

test('a state dict without the points of the problem fits it', async () => {
  const model = convectionEquation(small);
  using run = prepare({ model, seeds: [0, 1], epochs: 1, stepsPerEpoch: 3, constants: { beta: 1 } });
  const { loss: before } = await evaluate(run, run.data.train);
  loadStateDict(run, 1, run.stateDict(0));
  const { loss } = await evaluate(run, run.data.train);
  expect(before[1]).not.toBe(before[0]);
  expect([...loss]).toEqual([before[0], before[0]]);
});

test.each(Object.keys(residuals))('%s: the residual, its gradient and its Hessian product in float64', async (kind) => {
  using graph = new Graph();
  const u = field(graph, [2, 7, 1]);
  const x = graph.input('x', [5, 1]);
  const t = graph.input('t', [5, 1]);
  const loss = residuals[kind]!(u(x, t), x, t).square().mean();
  const hvp = graph.hvp(loss, graph.direction('v'));
  using program = graph.compile({ loss, grad: graph.grad(loss), hvp }, { dtype: 'float64' });
  using params = new Vector('float64', 1, graph.params.size);
  fillWaves(params, graph.params.entries, 0.5);
  const column = (from: number, step: number) => [0, 1, 2, 3, 4].map((i) => from + step * i);
  const result = await program.run({ x: column(0.3, 0.9), t: column(0.1, 0.2), params, v: params });
  const reference = expected[kind]!;
  expect(result['loss']!.item() / reference.loss).toBeCloseTo(1, 12);
  for (const key of ['grad', 'hvp'] as const) {
    const own = dense(result[key]!.toArray(), graph.params.entries);
    const norm = Math.hypot(...reference[key]);
    expect(Math.hypot(...own.map((value, i) => value - reference[key][i]!)) / norm).toBeLessThan(1e-11);
  }
});

const small = { layers: [2, 12, 12, 1], places: 32, times: 16, collocation: 40 };
const settings = { ...small, epochs: 3, stepsPerEpoch: 25 };

describe('a population of networks for convection', () => {
  test('slow waves are learnt; a member alone gives the same bits', async () => {
    const settings = { ...small, epochs: 8, stepsPerEpoch: 25 };
    using run = await trainPINN({ ...settings, beta: [1, 30], lr: [1, 0.5], seeds: [0, 5] });
    const last = run.history.at(-1)!;
    expect(last.testLoss[0]).toBeLessThan(0.1);
    expect(last.testLoss[1]).toBeGreaterThan(last.testLoss[0]!);
    using alone = await trainPINN({ ...settings, beta: 30, lr: 0.5, seeds: [5], threads: 1 });
    expect(alone.vectors.params.toArray()).toEqual(run.vectors.params.toArray(1));
    expect(alone.evaluations![0]).toBe(run.evaluations![1]);
    expect(Object.keys(run.stateDict(0))).toEqual(
      [0, 1, 2].flatMap((i) => [`dnn.layers.layer_${i}.weight`, `dnn.layers.layer_${i}.bias`]),
    );
  });

  test('stopped in the middle, loaded elsewhere, it ends with the same bits; another equation is refused', async () => {
    const options = { ...settings, beta: [1, 30], seeds: [0, 0] };
    const directory = mkdtempSync(join(tmpdir(), 'ptmz-pinn-'));
    try {
      using whole = await trainPINN(options);
      using _ = await trainPINN({ ...options, until: 37, saveTo: directory });
      using again = await loadRun(directory, { model: convectionEquation(small) });
      expect(again.step).toBe(37);
      await again.train();
      for (const m of [0, 1]) expect(again.vectors.params.toArray(m)).toEqual(whole.vectors.params.toArray(m));
      expect(again.history).toEqual(whole.history);
      await expect(
        loadRun(directory, { model: convectionEquation({ ...small, collocation: 41 }) }),
      ).rejects.toMatchObject({
        code: 'CHECKPOINT_MISMATCH',
      });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('members that converge stop, and the training ends with the last of them', async () => {
    const optimizer = { kind: 'lbfgs', toleranceChange: 1e-2 } as const;
    using run = await trainPINN({ ...settings, epochs: 100, beta: [1, 2], seeds: [0, 1], optimizer });
    expect(run.converged).toEqual([true, true]);
    expect(run.finished).toBe(true);
    expect(run.step).toBeLessThan(2500);
    expect(run.history.length).toBeLessThan(100);
  });

  test('Adam trains it too, and its curvature can be measured', async () => {
    using run = await trainPINN({ ...settings, optimizer: 'adam', lr: 0.01, beta: [1, 30], seeds: [0, 0] });
    expect(run.history.at(-1)!.trainLoss[0]).toBeLessThan(run.history[0]!.trainLoss[0]!);
    using fresh = prepare({ model: run.model as Problem, constants: { beta: [1, 30] }, seeds: [0, 0], epochs: 1 });
    const { trace } = await hessianTrace(fresh, fresh.data.train, { probes: 8 });
    // Of equal parameters: the residual's part grows with the square of beta.
    expect(trace[1]).toBeGreaterThan(10 * trace[0]!);
  });
});

/** u_t = rho u (1 - u) by steps of Runge and Kutta. */
function reactionByTime(x: number, t: number, rho: number): number {
  const slope = (u: number) => rho * u * (1 - u);
  const steps = 200;
  const h = t / steps;
  let u = Math.exp((-8 * (x - Math.PI) ** 2) / Math.PI ** 2);
  for (let i = 0; i < steps; ++i) {
    const a = slope(u);
    const b = slope(u + (h / 2) * a);
    const c = slope(u + (h / 2) * b);
    u += (h / 6) * (a + 2 * b + 2 * c + slope(u + h * c));
  }
  return u;
}

/** Cole's series: phi = I_0 + 2 sum I_n(1 / (2 nu)) exp(-n^2 nu t) cos n x, u = -2 nu phi_x / phi. */
function burgersBySeries(x: number, t: number, nu: number): number {
  const argument = 1 / (2 * nu);
  const bessel = Array<number>(82).fill(0);
  bessel[80] = 1e-200; // backwards from anything small; a common factor cancels
  for (let n = 80; n > 0; --n) bessel[n - 1] = bessel[n + 1]! + ((2 * n) / argument) * bessel[n]!;
  const sum = (term: (n: number) => number) =>
    bessel.reduce((total, value, n) => total + value * Math.exp(-n * n * nu * t) * term(n), 0);
  return (4 * nu * sum((n) => n * Math.sin(n * x))) / sum((n) => (n === 0 ? 1 : 2 * Math.cos(n * x)));
}

/** Hopf's integral as he wrote it: the mean of (x - y) / t under exp(cos y / (2 nu) - (x - y)^2 / (4 nu t)). */
function burgersByIntegral(x: number, t: number, nu: number): number {
  if (t === 0) return Math.sin(x);
  const [reach, nodes] = [t + 12 * Math.sqrt(nu * t), 2000];
  const ys = Array.from({ length: 2 * nodes + 1 }, (_, i) => x + (reach * (i - nodes)) / nodes);
  const powers = ys.map((y) => Math.cos(y) / (2 * nu) - (x - y) ** 2 / (4 * nu * t));
  const largest = Math.max(...powers);
  const weights = powers.map((power) => Math.exp(power - largest));
  const total = weights.reduce((a, b) => a + b);
  return ys.reduce((sum, y, i) => sum + (weights[i]! * (x - y)) / t, 0) / total;
}

describe('errors are those from a solution found in another way', () => {
  test.each([
    { choice: { beta: [2, 4] }, exact: (x: number, t: number) => Math.sin(x - 4 * t) },
    { choice: { equation: 'reaction', rho: [1, 5] }, exact: (x: number, t: number) => reactionByTime(x, t, 5) },
    { choice: { equation: 'burgers', nu: [0.5, 0.05] }, exact: (x: number, t: number) => burgersBySeries(x, t, 0.05) },
    {
      choice: { equation: 'burgers', nu: [0.5, 0.001] },
      exact: (x: number, t: number) => burgersByIntegral(x, t, 0.001),
    },
  ] as const)('$choice', async ({ choice, exact }) => {
    const options = { ...settings, epochs: 1, seeds: [0, 1], dtype: 'float64' } as const;
    using run = await trainPINN({ ...options, ...choice } as TrainPINNOptions);
    const { grid } = convection({ places: 32, times: 16, collocation: 40 });
    const dict = run.stateDict(1);
    const u = (x: number, t: number) => {
      let h = [x, t];
      for (const i of [0, 1, 2]) {
        const tensor = (name: string) => dict[`dnn.layers.layer_${i}.${name}`]!.data as Float64Array;
        const [w, b] = [tensor('weight'), tensor('bias')];
        const z = Array.from(b, (bias, k) => h.reduce((s, hj, j) => s + w[k * h.length + j]! * hj, bias));
        h = i < 2 ? z.map(Math.tanh) : z;
      }
      return h[0]!;
    };
    const solution = Array.from(grid.x, (x, k) => exact(x, grid.t[k]!));
    const difference = solution.map((value, k) => u(grid.x[k]!, grid.t[k]!) - value);
    const { loss: errors } = await evaluate(run, run.data.test!);
    expect(errors[1]).toBeCloseTo(Math.hypot(...difference) / Math.hypot(...solution), 9);
    const start = Array.from({ length: 32 }, (_, k) => (u(grid.x[k]!, 0) - exact(grid.x[k]!, 0)) ** 2);
    const { loss, accuracy } = await evaluate(run, run.data.train);
    expect(loss[1]).toBeGreaterThan(start.reduce((a, b) => a + b) / start.length);
    expect(accuracy[1]).toBeNaN();
  });

  test('float32 loses nothing of it', async () => {
    const options = { ...small, equation: 'burgers', nu: [0.1, 0.001], seeds: [0, 0], epochs: 1 } as const;
    using exact = preparePINN({ ...options, dtype: 'float64' });
    using rounded = preparePINN(options);
    exact.seeds.forEach((_, m) => loadStateDict(exact, m, rounded.stateDict(m)));
    const [want, got] = await Promise.all([exact, rounded].map((run) => evaluate(run, run.data.test!)));
    for (const m of [0, 1]) expect(got!.loss[m]! / want!.loss[m]!).toBeCloseTo(1, 4);
  });
});

test.each([
  { equation: 'reaction', rho: 1 },
  { equation: 'burgers', nu: 0.5 },
] as const)('$equation reaches its solution; a member alone gives the same bits', async (choice) => {
  const options = { ...small, epochs: 4, stepsPerEpoch: 50 };
  const [name, constant] = Object.entries(choice)[1]!;
  const two = { ...options, ...choice, [name]: [constant, 0.2], seeds: [0, 3] } as TrainPINNOptions;
  using run = await trainPINN(two);
  expect(run.history.at(-1)!.testLoss[0]).toBeLessThan(0.1);
  expect(run.settings.constants).toEqual({ [name]: [constant, 0.2] });
  using alone = await trainPINN({ ...options, ...choice, seeds: [0], threads: 1 });
  expect(alone.vectors.params.toArray()).toEqual(run.vectors.params.toArray(0));
});

test('a member whose loss turns NaN is frozen, the others go on', async () => {
  const model: Problem = {
    name: 'root',
    constants: ['a'],
    build(graph, { a }) {
      const x = graph.param('x', [], { init: { kind: 'constant', value: 1 } });
      return { terms: { root: x.sub(a!).sqrt().add(x.sub(3).square()) } };
    },
  };
  using run = await train({
    model,
    constants: { a: [-10, 2] },
    optimizer: 'lbfgs',
    seeds: [0, 1],
    epochs: 1,
    stepsPerEpoch: 30,
  });
  expect(run.divergedAt).toEqual([null, 0]);
  expect(run.vectors.params.toArray(1)[0]).toBe(1);
  expect(run.converged[0]).toBe(true);
});

describe('what does not fit is refused before any work', () => {
  const model = convectionEquation(small);
  const common = { model, seeds: [0], epochs: 1, constants: { beta: 1 } };
  const build = (terms: object): Problem => ({ name: 'odd', build: () => ({ terms }) as never });
  test.each([
    [{ ...common, constants: {} }, /constants\.beta/],
    [{ ...common, constants: { beta: 1, gamma: 2 } }, /gamma/],
    [{ ...common, constants: { beta: [1, 2] } }, /constants\.beta/],
    [{ ...common, constants: { beta: NaN } }, /constants\.beta/],
    [{ ...common, batchSize: 3 }, /batchSize/],
    [{ ...common, stepsPerEpoch: 0 }, /stepsPerEpoch/],
    [{ ...common, model: build({}), constants: {} }, /at least one/],
    [{ ...common, model: build({ a: 1 }), constants: {} }, /'a' of odd/],
  ])('%#', (options, message) => {
    expect(() => prepare(options as never)).toThrow(message);
  });

  test.each([
    [{ beta: undefined }, /of equation 'convection' for beta/],
    [{ equation: 'reaction' }, /of equation 'reaction' for rho/],
    [{ equation: 'reaction', rho: 1, beta: 2 }, /nothing beside equation 'reaction' for beta/],
    [{ equation: 'burgers', nu: [0.1, 0] }, /above 0 for nu/],
    [{ equation: 'heat', nu: 1 }, /'convection', 'reaction', 'burgers' for equation/],
  ])('equations: %j', (options, message) => {
    expect(() => preparePINN({ ...small, seeds: [0, 1], epochs: 1, ...options } as never)).toThrow(message);
  });

  test('points, fields and equations', () => {
    using graph = new Graph();
    expect(() => points(graph, 'p', { x: [] })).toThrow(/p\.x/);
    expect(() => field(graph, [2])).toThrow(/layers/);
    expect(() => field(graph, [2, 3, 1])(points(graph, 'q', { x: [1] }).x)).toThrow(/2 columns/);
    expect(() => convectionEquation({ layers: [3, 1] })).toThrow(/layers/);
    expect(() => convectionEquation({ weight: -1 })).toThrow(/weight/);
  });
});
