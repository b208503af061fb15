/** Eigenvalues and spectra of Hessians: against dense matrices, closed forms and degenerate cases. */
import { fileURLToPath } from 'node:url';
import {
  hessianEigenvalues,
  hessianSpectrum,
  hessianTrace,
  hvp,
  prepare,
  Vector,
  type Run,
  type HessianEigenvaluesOptions,
} from 'ptmz-native';
import { describe, expect, test } from 'vitest';
import { runOracle } from '../lib/oracle/run.js';
import { mlp, points } from './support/models.js';
import { data, diagonal, largestError } from './support/quadratic.js';

/** Eigenvalues of a symmetric matrix, ascending, by cyclic Jacobi rotations. */
function jacobi(matrix: readonly (readonly number[])[]): number[] {
  const a = matrix.map((row) => [...row]);
  const n = a.length;
  for (let sweep = 0; sweep < 30; sweep++) {
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (a[p]![q] === 0) continue;
        const angle = 0.5 * Math.atan2(2 * a[p]![q]!, a[q]![q]! - a[p]![p]!);
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        for (let k = 0; k < n; k++) {
          const [x, y] = [a[k]![p]!, a[k]![q]!];
          [a[k]![p], a[k]![q]] = [c * x - s * y, s * x + c * y];
        }
        for (let k = 0; k < n; k++) {
          const [x, y] = [a[p]![k]!, a[q]![k]!];
          [a[p]![k], a[q]![k]] = [c * x - s * y, s * x + c * y];
        }
      }
    }
  }
  return a.map((row, i) => row[i]!).sort((x, y) => x - y);
}

/** The Hessian of member 0 and its eigenvalues. */
async function dense(run: Run, data: ReturnType<typeof points>): Promise<{ matrix: number[][]; values: number[] }> {
  const positions = run.layout.params.flatMap(({ offset, shape }) =>
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => offset + i),
  );
  using direction = new Vector('float64', run.members, run.vectorSize);
  const matrix: number[][] = [];
  for (const position of positions) {
    direction.fill(0).set(0, [1], position);
    using product = await hvp(run, data.train, direction);
    const all = product.toArray();
    matrix.push(positions.map((p) => all[p]!));
  }
  return { matrix, values: jacobi(matrix) };
}

describe('a small network against its dense Hessian', () => {
  const set = points(30, 4, 3);
  const network = (dtype: 'float32' | 'float64') =>
    prepare({ model: mlp([4, 5, 3], [4, 1, 1]), data: set, batchSize: 10, epochs: 1, seeds: [1], dtype });

  test('Lanczos finds either end, both, and the largest magnitudes', async () => {
    using run = network('float64');
    const { values } = await dense(run, set);
    const scale = Math.max(...values.map(Math.abs));
    const expected = {
      largest: values.toReversed().slice(0, 3),
      smallest: values.slice(0, 3),
      both: [...values.toReversed().slice(0, 3), ...values.slice(0, 3)],
      magnitude: values.toSorted((a, b) => Math.abs(b) - Math.abs(a)).slice(0, 3),
    };
    for (const which of ['largest', 'smallest', 'both', 'magnitude'] as const) {
      const found = await hessianEigenvalues(run, set.train, { count: 3, which, tolerance: 1e-8 });
      expect(largestError(found.eigenvalues[0]!, expected[which])).toBeLessThan(1e-12 * scale);
      expect(Math.max(...found.residuals[0]!)).toBeLessThan(1e-8 * scale);
      expect(found.converged[0]).not.toContain(false);
      expect(found.iterations[0]).toBeLessThanOrEqual(43);
      expect(found.history).toEqual([[]]);
    }
  });

  test('every eigenvalue, the null space with all its copies', async () => {
    using run = network('float64');
    const { values } = await dense(run, set);
    const found = await hessianEigenvalues(run, set.train, { count: 43, which: 'smallest', steps: 43, tolerance: 0 });
    expect(largestError(found.eigenvalues[0]!, values)).toBeLessThan(1e-13);
    expect(values.filter((x) => Math.abs(x) < 1e-13).length).toBeGreaterThanOrEqual(6);
  });

  test('the tolerance bounds the error where it stops early', async () => {
    using run = network('float64');
    const { values } = await dense(run, set);
    for (const tolerance of [0.3, 0.1, 0.01]) {
      const { eigenvalues, iterations } = await hessianEigenvalues(run, set.train, { tolerance });
      const top = values.at(-1)!;
      expect(Math.abs(eigenvalues[0]![0]! - top)).toBeLessThan(tolerance * top);
      expect(iterations[0]).toBeLessThan(25);
    }
  });

  test('too few steps: finite values, and no claim of convergence', async () => {
    using run = network('float64');
    const found = await hessianEigenvalues(run, set.train, { count: 2, steps: 3, tolerance: 1e-10 });
    expect(found.converged).toEqual([[false, false]]);
    expect(found.iterations).toEqual([3]);
    expect(found.residuals[0]!.every((r) => r > 1e-10 && Number.isFinite(r))).toBe(true);
  });

  test('power iteration with deflation finds the largest magnitudes; residuals are those of H', async () => {
    using run = network('float64');
    const { values } = await dense(run, set);
    const byMagnitude = values.toSorted((a, b) => Math.abs(b) - Math.abs(a));
    const options = { method: 'power', count: 3, steps: 5000, tolerance: 1e-7 } as const;
    const found = await hessianEigenvalues(run, set.train, options);
    expect(found.converged).toEqual([[true, true, true]]);
    expect(largestError(found.eigenvalues[0]!, byMagnitude.slice(0, 3))).toBeLessThan(1e-9);
    expect(found.history[0]!.reduce((sum, h) => sum + h.length, 0)).toBe(found.iterations[0]);
    found.history[0]!.forEach((h, k) => expect(h.at(-1)).toBe(found.eigenvalues[0]![k]));
  });

  test('pyhessian: its normalisation and its stopping rule', async () => {
    using run = network('float64');
    const { matrix, values } = await dense(run, set);
    using start = new Vector('float64', 1, run.vectorSize);
    const positions = run.layout.params.flatMap(({ offset, shape }) =>
      Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => offset + i),
    );
    let v = positions.map((_, i) => Math.sin(i + 1));
    v.forEach((x, i) => start.set(0, [x], positions[i]));
    const norm = (w: number[]) => Math.sqrt(w.reduce((sum, x) => sum + x * x, 0)) + 1e-6;
    const normalised = (w: number[]) => w.map((x) => x / norm(w));
    v = normalised(v);
    const history: number[] = [];
    for (;;) {
      v = normalised(v);
      const w = matrix.map((row) => row.reduce((sum, x, i) => sum + x * v[i]!, 0));
      history.push(w.reduce((sum, x, i) => sum + x * v[i]!, 0));
      v = normalised(w);
      const [before, last] = [history.at(-2), history.at(-1)!];
      if (before !== undefined && Math.abs(last - before) / (Math.abs(before) + 1e-6) < 1e-3) break;
    }
    const found = await hessianEigenvalues(run, set.train, { method: 'pyhessian', start });
    expect(largestError(found.history[0]![0]!, history)).toBeLessThan(1e-14);
    expect(found.eigenvalues[0]![0]).toBe(found.history[0]![0]!.at(-1));
    expect(found.converged).toEqual([[true]]);
    expect(found.eigenvalues[0]![0]! / values.at(-1)!).toBeCloseTo(1, 1);
  });

  test('float32 programs agree with float64 ones', async () => {
    using single = network('float32');
    using double = network('float64');
    const row = single.vectors.params.toArray();
    double.vectors.params.set(0, Array.from(row));
    const options = { count: 2, which: 'both', tolerance: 1e-5 } as const;
    const [a, b] = [
      await hessianEigenvalues(single, set.train, options),
      await hessianEigenvalues(double, set.train, options),
    ];
    expect(a.converged[0]).not.toContain(false);
    expect(largestError(a.eigenvalues[0]!, b.eigenvalues[0]!)).toBeLessThan(1e-5);
  });

  test('quadrature: moments of every start, density of mass 1, means near the truth', async () => {
    using run = network('float64');
    const { matrix, values } = await dense(run, set);
    const n = values.length;
    const [spectrum] = await hessianSpectrum(run, set.train, { runs: 200, steps: 12, bins: 3000 });
    const moments = [1, 2, 3, 4].map((k) => values.reduce((sum, x) => sum + x ** k, 0) / n);
    // The variance of v^T H v over sign vectors is 2 (|H|^2 - sum of squares of the diagonal).
    const spread = 2 * matrix.flatMap((row, i) => row.filter((_, j) => i !== j)).reduce((sum, x) => sum + x * x, 0);
    expect(Math.abs(spectrum!.moments[0]! - moments[0]!)).toBeLessThan((4 * Math.sqrt(spread / 200)) / n);
    moments.forEach((m, k) => expect(spectrum!.moments[k]! / m).toBeCloseTo(1, 0.5));
    for (const weights of spectrum!.weights) expect(weights.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    const [low, high] = [spectrum!.grid[0]!, spectrum!.grid.at(-1)!];
    const step = (high - low) / 2999;
    expect(spectrum!.density.reduce((a, b) => a + b) * step).toBeCloseTo(1, 12);
    expect(Math.min(...spectrum!.density)).toBeGreaterThanOrEqual(0);
    for (const nodes of spectrum!.nodes) {
      expect(nodes[0]).toBeGreaterThanOrEqual(values[0]! - 1e-12);
      expect(nodes.at(-1)).toBeLessThanOrEqual(values.at(-1)! + 1e-12);
    }
  });
});

describe('diagonal Hessians', () => {
  test('of different entries: all eigenvalues, nodes, weights and moments', async () => {
    const curvatures = [3, -1, 0.5];
    using run = diagonal(curvatures);
    const { eigenvalues, converged } = await hessianEigenvalues(run, data.train, { count: 3, which: 'largest' });
    for (const m of [0, 1]) {
      expect(largestError(eigenvalues[m]!, [3, 0.5, -1])).toBeLessThan(1e-14);
      expect(converged[m]).toEqual([true, true, true]);
    }
    const spectra = await hessianSpectrum(run, data.train, { runs: 2, bins: 4001 });
    for (const { nodes, weights, moments, grid, density } of spectra) {
      for (const run of [0, 1]) {
        expect(largestError(nodes[run]!, [-1, 0.5, 3])).toBeLessThan(1e-13);
        expect(largestError(weights[run]!, [1 / 3, 1 / 3, 1 / 3])).toBeLessThan(1e-13);
      }
      const expected = [1, 2, 3, 4].map((k) => curvatures.reduce((sum, c) => sum + c ** k, 0) / 3);
      expect(largestError(moments, expected)).toBeLessThan(1e-12);
      expect([grid[0], grid.at(-1)]).toEqual([expect.closeTo(-1.01, 12), expect.closeTo(3.01, 12)]);
      const bell = (x: number) => Math.exp(-(x * x) / (2 * 1e-5 * 4.02));
      const sums = grid.map((x) => curvatures.reduce((sum, c) => sum + bell(x - c), 0));
      const mass = (sums.reduce((a, b) => a + b) * 4.02) / 4000;
      const scaled = sums.map((x) => x / mass);
      expect(largestError(density, scaled)).toBeLessThan(1e-9);
    }
  });

  test('a wider sigma smooths more', async () => {
    using run = diagonal([3, -1, 0.5], [0]);
    const [narrow] = await hessianSpectrum(run, data.train, { bins: 400 });
    const [wide] = await hessianSpectrum(run, data.train, { bins: 400, sigma: 0.5 });
    expect(Math.max(...wide!.density)).toBeLessThan(Math.max(...narrow!.density) / 4);
  });

  test.each(['lanczos', 'power', 'pyhessian'] as const)('H = 0: %s gives 0, converged', async (method) => {
    using run = diagonal([0, 0, 0], [0]);
    const count = method === 'lanczos' ? 3 : 2;
    const found = await hessianEigenvalues(run, data.train, { method, count });
    expect(found.eigenvalues[0]!.map(Math.abs)).toEqual(new Array(count).fill(0));
    expect(found.residuals[0]).toEqual(new Array(count).fill(0));
    expect(found.converged[0]).toEqual(new Array(count).fill(true));
    expect(found.iterations[0]).toBeLessThan(6);
    const [spectrum] = await hessianSpectrum(run, data.train, { bins: 100 });
    expect(spectrum!.nodes).toEqual([[0]]);
    expect(spectrum!.weights).toEqual([[1]]);
    expect(spectrum!.density.every(Number.isFinite)).toBe(true);
    const { trace } = await hessianTrace(run, data.train, { method: 'pyhessian' });
    expect(trace).toEqual([0]);
  });

  test('+l and -l: Lanczos finds both; power iterations say that they did not converge', async () => {
    using run = diagonal([2, -2], [0, 1]);
    const both = await hessianEigenvalues(run, data.train, { which: 'both' });
    for (const values of both.eigenvalues) expect(largestError(values, [2, -2])).toBeLessThan(1e-14);
    const { eigenvalues } = await hessianEigenvalues(run, data.train, { which: 'magnitude', count: 2 });
    for (const values of eigenvalues) expect(largestError(values.map(Math.abs), [2, 2])).toBeLessThan(1e-14);
    for (const method of ['power', 'pyhessian'] as const) {
      const found = await hessianEigenvalues(run, data.train, { method });
      expect(found.converged).toEqual([[false], [false]]);
      expect(found.iterations).toEqual(method === 'power' ? [100, 100] : [2, 2]);
      for (const [r] of found.residuals) expect(r).toBeGreaterThan(0.1);
    }
  });

  test('repeated eigenvalues are found where the Krylov space ends', async () => {
    using run = diagonal([3, 3, 3, 1, 1, -5], [0]);
    const find = async (options: HessianEigenvaluesOptions) =>
      (await hessianEigenvalues(run, data.train, options)).eigenvalues[0]!;
    expect(largestError(await find({ count: 4 }), [3, 3, 3, 1])).toBeLessThan(1e-13);
    expect(largestError(await find({ count: 6, which: 'smallest' }), [-5, 1, 1, 3, 3, 3])).toBeLessThan(1e-13);
    expect(largestError(await find({ count: 2, which: 'both' }), [3, 3, -5, 1])).toBeLessThan(1e-13);
  });

  test.each([1e-12, 1e12])('scale %d changes nothing but the scale', async (scale) => {
    using run = diagonal([3 * scale, -1 * scale, 0.5 * scale], [0]);
    const { eigenvalues, converged } = await hessianEigenvalues(run, data.train, { count: 3 });
    expect(largestError(eigenvalues[0]!, [3 * scale, 0.5 * scale, -1 * scale])).toBeLessThan(1e-13 * scale);
    expect(converged[0]).toEqual([true, true, true]);
  });

  test('one parameter', async () => {
    using run = diagonal([7], [0]);
    const { eigenvalues } = await hessianEigenvalues(run, data.train, { which: 'both' });
    expect(largestError(eigenvalues[0]!, [7, 7])).toBeLessThan(1e-14);
    const [spectrum] = await hessianSpectrum(run, data.train, { bins: 10 });
    expect(largestError(spectrum!.nodes[0]!, [7])).toBeLessThan(1e-14);
  });

  test('a Hessian that is not finite is an error that names the member', async () => {
    using run = prepare({ model: mlp([3, 4, 3], [3, 1, 1]), data, batchSize: 10, epochs: 1, seeds: [0, 1] });
    run.vectors.params.set(1, [NaN]);
    const error = { code: 'NON_FINITE', message: expect.stringContaining('member 1') };
    await expect(hessianEigenvalues(run, data.train)).rejects.toMatchObject(error);
    await expect(hessianEigenvalues(run, data.train, { method: 'power' })).rejects.toMatchObject(error);
    await expect(hessianSpectrum(run, data.train)).rejects.toMatchObject(error);
    await expect(hessianTrace(run, data.train)).rejects.toMatchObject(error);
  });
});

test('the metric cases of the oracle that are committed here pass; others are named', async () => {
  const lines: string[] = [];
  const directory = fileURLToPath(new URL('./oracle/metrics', import.meta.url));
  const counts = await runOracle(directory, { print: (line) => lines.push(line) });
  expect({ ...counts, lines }).toEqual({
    passed: 2,
    failed: 0,
    undecided: 0,
    skipped: 1,
    lines: ['skipped metrics: 1 case, this version does not run cka metrics'],
  });
});
