/** Problems: residuals of equations against PyTorch, populations with constants, checkpoints, measures and errors. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  burgersEquation,
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
  reactionEquation,
  train,
  trainPINN,
  Vector,
  type Problem,
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

  test('loss and error are those of the formula', async () => {
    using run = await trainPINN({ ...settings, epochs: 1, beta: [2, 4], seeds: [0, 1], dtype: 'float64' });
    const { grid, initial } = convection({ places: 32, times: 16, collocation: 40 });
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
    const exact = Array.from(grid.x, (x, k) => Math.sin(x - 4 * grid.t[k]!));
    const difference = exact.map((value, k) => u(grid.x[k]!, grid.t[k]!) - value);
    const { loss: errors } = await evaluate(run, run.data.test!);
    expect(errors[1]).toBeCloseTo(Math.hypot(...difference) / Math.hypot(...exact), 10);
    const start = initial.x.reduce((s, x) => s + (u(x, 0) - Math.sin(x)) ** 2, 0) / initial.x.length;
    const { loss, accuracy } = await evaluate(run, run.data.train);
    expect(loss[1]).toBeGreaterThan(start);
    expect(accuracy[1]).toBeNaN();
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

test('reaction reaches its solution; Burgers has none to compare with', async () => {
  const common = { optimizer: 'lbfgs', seeds: [0], epochs: 4, stepsPerEpoch: 50 } as const;
  using reaction = await train({ ...common, model: reactionEquation(small), constants: { rho: 1 } });
  expect(reaction.history.at(-1)!.testLoss[0]).toBeLessThan(0.1);
  using burgers = await train({ ...common, model: burgersEquation(small), constants: { nu: 0.1 } });
  expect(burgers.history.at(-1)!.trainLoss[0]).toBeLessThan(0.05);
  expect(burgers.data.test).toBeUndefined();
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

  test('points, fields and equations', () => {
    using graph = new Graph();
    expect(() => points(graph, 'p', { x: [] })).toThrow(/p\.x/);
    expect(() => field(graph, [2])).toThrow(/layers/);
    expect(() => field(graph, [2, 3, 1])(points(graph, 'q', { x: [1] }).x)).toThrow(/2 columns/);
    expect(() => convectionEquation({ layers: [3, 1] })).toThrow(/layers/);
    expect(() => convectionEquation({ weight: -1 })).toThrow(/weight/);
  });
});
