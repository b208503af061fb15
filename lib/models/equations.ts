/** Equations of physics-informed networks: convection, as the published zoo has it, reaction and Burgers. */
import { checkArray, checkInteger, checkNumber, checkObject, invalidArgument } from '../errors.js';
import { convection } from '../data/convection.js';
import type { Graph } from '../graph/graph.js';
import { concat } from '../graph/operators.js';
import type { Value } from '../graph/value.js';
import { burgersSolution } from './burgersSolution.js';
import { choicePart, ModelName, numberPart, sizesPart } from './modelName.js';
import { derivative, field, points, type FieldOptions, type Problem } from './problem.js';

/** What all equations take. */
export interface EquationOptions {
  /** Sizes of the network; default [2, 50, 50, 50, 50, 1]. */
  layers?: readonly number[];
  activation?: FieldOptions['activation'];
  /** Points inside, where the equation is asked for; default 100. */
  collocation?: number;
  /** Of the generator that draws these points, the same for all members; default 0. */
  pointSeed?: number;
  /** Factor of the equation's term; default 1. */
  weight?: number;
  /** Places of the grid; default 256. */
  places?: number;
  /** Times of the grid, from 0 to 1; default 100. */
  times?: number;
}

const standardLayers = [2, 50, 50, 50, 50, 1];
const equationName = (kind: string) =>
  new ModelName<Required<EquationOptions>>(kind, [
    sizesPart('layers', 'n', standardLayers),
    choicePart('activation', ['tanh', 'sin', 'relu', 'softplus'], 'tanh'),
    numberPart('collocation', 'c', 100),
    numberPart('pointSeed', 's', 0),
    numberPart('weight', 'w', 1),
    numberPart('places', 'x', 256),
    numberPart('times', 't', 100),
  ]);

/** @internal */
export const convectionName = equationName('convection');
/** @internal */
export const reactionName = equationName('reaction');
/** @internal */
export const burgersName = equationName('burgers');

const keys = ['layers', 'activation', 'collocation', 'pointSeed', 'weight', 'places', 'times'] as const;

function complete(options: EquationOptions) {
  checkObject('options', options, [...keys]);
  const layers = options.layers ?? standardLayers;
  checkArray('layers', layers);
  if (layers[0] !== 2 || layers.at(-1) !== 1) throw invalidArgument('layers', 'sizes from 2 to 1', layers);
  const { activation = 'tanh', places = 256, times = 100, collocation = 100, pointSeed = 0 } = options;
  const weight = checkNumber('weight', options.weight ?? 1, 0, Number.MAX_VALUE);
  for (const [name, value] of Object.entries({ places, times })) checkInteger(name, value, 2);
  // The grid and the points of the published convection runs serve all equations on [0, 2 pi) x [0, 1].
  const named = { layers, activation, collocation, pointSeed, weight, places, times };
  return { ...named, named, grid: convection({ places, times, collocation, seed: pointSeed }) };
}

const meanSquare = (x: Value): Value => x.square().mean();
const relativeError = (u: Value, exact: Value): Value => u.sub(exact).square().sum().div(exact.square().sum()).sqrt();

/** The network at several sets of points, as one batch: what is said of their values alone needs no batch of its own. */
function atAll(u: (x: Value, t: Value) => Value, sets: readonly { x: Value; t: Value }[]): Value[] {
  const column = (key: 'x' | 't') =>
    concat(
      sets.map((set) => set[key]),
      0,
    );
  const values = u(column('x'), column('t'));
  let end = 0;
  return sets.map(({ x }) => values.slice(0, end, (end += x.shape[0]!)));
}

/** Terms that the periodic equations share: initial values, both ends equal, and the equation inside. */
function periodic(
  graph: Graph,
  { layers, activation, weight, grid }: ReturnType<typeof complete>,
  initial: (x: Value) => Value,
  residual: (u: Value, x: Value, t: Value) => Value,
) {
  const u = field(graph, layers, { activation });
  const start = points(graph, 'initial', { x: grid.initial.x, t: grid.initial.t });
  const { left: l, right: r } = grid.boundary;
  const [left, right] = [points(graph, 'left', { x: l.x, t: l.t }), points(graph, 'right', { x: r.x, t: r.t })];
  const { x, t } = points(graph, 'inside', { x: grid.collocation.x, t: grid.collocation.t });
  const [first, atLeft, atRight] = atAll(u, [start, left, right]);
  const terms = {
    initial: meanSquare(first!.sub(initial(start.x))),
    boundary: meanSquare(atLeft!.sub(atRight!)),
    equation: meanSquare(residual(u(x, t), x, t)).mul(weight),
  };
  const all = points(graph, 'grid', { x: grid.grid.x, t: grid.grid.t });
  return {
    terms,
    error: (exact: (x: Value, t: Value) => Value) => relativeError(u(all.x, all.t), exact(all.x, all.t)),
  };
}

/**
 * u_t + beta u_x = 0 on [0, 2 pi) x [0, 1], periodic, u(x, 0) = sin x; the solution is sin(x - beta t). The problem of
 * Krishnapriyan et al. (2021): loss = mean (u(x,0) - sin x)^2 over 256 places + mean (u(0,t) - u(2 pi,t))^2 over 100
 * times + weight x mean (u_t + beta u_x)^2 over 100 points. Its constant is `beta`; its error the relative L2 error.
 *
 * @throws PtmzError `INVALID_ARGUMENT`
 * @example
 * ```ts
 * import { convectionEquation, train } from 'ptmz-native';
 * using run = await train({
 *   model: convectionEquation({ layers: [2, 10, 1], places: 16, times: 8, collocation: 20 }),
 *   constants: { beta: [1, 30] },
 *   optimizer: 'lbfgs',
 *   seeds: [0, 0],
 *   epochs: 1,
 *   stepsPerEpoch: 20,
 * });
 * run.history[0]?.testLoss; // the error of each member
 * ```
 */
export function convectionEquation(options: EquationOptions = {}): Problem {
  const all = complete(options);
  return {
    name: convectionName.format(all.named),
    constants: ['beta'],
    build(graph, constants) {
      const beta = constants['beta']!;
      const equation = (u: Value, x: Value, t: Value) => derivative(u, t).add(derivative(u, x).mul(beta));
      const { terms, error } = periodic(graph, all, (x) => x.sin(), equation);
      return { terms, error: error((x, t) => x.sub(t.mul(beta)).sin()) };
    },
  };
}

/**
 * u_t = rho u (1 - u) on [0, 2 pi) x [0, 1], u(x, 0) = exp(-8 (x - pi)^2 / pi^2) (Krishnapriyan et al. 2021); the
 * solution is h e^(rho t) / (h e^(rho t) + 1 - h) with h = u(x, 0). Its constant is `rho`.
 *
 * @example
 * ```ts
 * import { reactionEquation } from 'ptmz-native';
 * reactionEquation().constants; // ['rho']
 * ```
 */
export function reactionEquation(options: EquationOptions = {}): Problem {
  const all = complete(options);
  const bump = (x: Value) =>
    x
      .sub(Math.PI)
      .square()
      .mul(-8 / Math.PI ** 2)
      .exp();
  return {
    name: reactionName.format(all.named),
    constants: ['rho'],
    build(graph, constants) {
      const rho = constants['rho']!;
      const equation = (u: Value, _: Value, t: Value) => derivative(u, t).sub(u.mul(u.neg().add(1)).mul(rho));
      const { terms, error } = periodic(graph, all, bump, equation);
      const exact = (x: Value, t: Value) => {
        const grown = bump(x).mul(t.mul(rho).exp());
        return grown.div(grown.add(1).sub(bump(x)));
      };
      return { terms, error: error(exact) };
    },
  };
}

/**
 * u_t + u u_x = nu u_xx on [0, 2 pi) x [0, 1], periodic, u(x, 0) = sin x: with second derivatives. Its constant is
 * `nu`, positive; its error that from the integral of Cole and Hopf, as exact as the dtype from nu = 0.001 on.
 *
 * @example
 * ```ts
 * import { burgersEquation } from 'ptmz-native';
 * burgersEquation({ layers: [2, 20, 20, 1] }).constants; // ['nu']
 * ```
 */
export function burgersEquation(options: EquationOptions = {}): Problem {
  const all = complete(options);
  return {
    name: burgersName.format(all.named),
    constants: ['nu'],
    build(graph, constants) {
      const nu = constants['nu']!;
      const equation = (u: Value, x: Value, t: Value) => {
        const slope = derivative(u, x);
        return derivative(u, t).add(u.mul(slope)).sub(derivative(slope, x).mul(nu));
      };
      const { terms, error } = periodic(graph, all, (x) => x.sin(), equation);
      return { terms, error: error((x, t) => burgersSolution(x, t, nu)) };
    },
  };
}

/** The equations by name, with the constant of each. @internal */
export const equations = {
  convection: { constant: 'beta', make: convectionEquation },
  reaction: { constant: 'rho', make: reactionEquation },
  burgers: { constant: 'nu', make: burgersEquation },
} as const;
/** @internal */
export type EquationName = keyof typeof equations;
