/** trainPINN: networks for an equation, trained with L-BFGS as those of the published zoo. */
import { checkOneOf, invalidArgument } from '../errors.js';
import { equations, type EquationOptions } from '../models/equations.js';
import { takeNetwork } from './network.js';
import type { Run } from './run.js';
import { prepare, train, type ProblemTrainOptions, type TrainJobOptions } from './trainer.js';

/** The equation and its constant, of which the others have none; one number, or one per member. */
export type EquationChoice =
  /** Default. `beta`: speed in u_t + beta u_x = 0; see {@link convectionEquation}. */
  | { equation?: 'convection'; beta: number | readonly number[]; rho?: undefined; nu?: undefined }
  /** `rho`: rate in u_t = rho u (1 - u); see {@link reactionEquation}. */
  | { equation: 'reaction'; rho: number | readonly number[]; beta?: undefined; nu?: undefined }
  /** `nu`: viscosity in u_t + u u_x = nu u_xx, positive; see {@link burgersEquation}. */
  | { equation: 'burgers'; nu: number | readonly number[]; beta?: undefined; rho?: undefined };

/** What {@link trainPINN} takes: the equation, and any setting of {@link ProblemTrainOptions} that should differ. */
export type TrainPINNOptions = EquationOptions & Omit<ProblemTrainOptions, 'model' | 'constants'> & EquationChoice;

/** Of the published code: 50 pairs, tolerances 1e-7. @internal */
export const pinnDefaults = {
  optimizer: { kind: 'lbfgs', historySize: 50, toleranceGrad: 1e-7, toleranceChange: 1e-7 },
} as const;

/**
 * Trains a population of networks for convection, reaction or Burgers' equation with L-BFGS, whose learning rate is the
 * first trial of every line search. Members may differ in the equation's constant, learning rate and seed.
 *
 * @returns the run, with the relative L2 error as `testLoss`; dispose of it
 * @throws PtmzError `INVALID_ARGUMENT` naming the option, `OUT_OF_MEMORY`; with an aborted signal it rejects with
 * `signal.reason`
 * @example
 * ```ts
 * import { trainPINN } from 'ptmz-native';
 * const small = { layers: [2, 10, 1], places: 16, times: 8, collocation: 20, epochs: 1, stepsPerEpoch: 20 };
 * using run = await trainPINN({ ...small, beta: [1, 30], lr: 1, seeds: [0, 0] });
 * run.history.at(-1)?.testLoss; // one error per member
 * using front = await trainPINN({ ...small, equation: 'burgers', nu: [0.1, 0.01], seeds: [0, 0] });
 * front.settings.constants; // { nu: [0.1, 0.01] }
 * ```
 */
export async function trainPINN(options: TrainPINNOptions & TrainJobOptions): Promise<Run> {
  return train(withModel(options));
}

/** As {@link trainPINN}, without starting: `run.train()` does that and can be aborted and continued. */
export function preparePINN(options: TrainPINNOptions): Run {
  return prepare(withModel(options));
}

const names = Object.keys(equations) as (keyof typeof equations)[];

function withModel<T extends TrainPINNOptions>(options: T) {
  const { network, rest } = takeNetwork<EquationOptions, T>(options, [
    ...(['layers', 'activation', 'collocation', 'pointSeed', 'weight', 'places', 'times'] as const),
  ]);
  const { equation = 'convection', beta, rho, nu, ...settings } = rest;
  const { constant, make } = equations[checkOneOf('equation', equation, names)];
  const given = { beta, rho, nu };
  const odd = names.map((name) => equations[name].constant).find((key) => key !== constant && given[key] !== undefined);
  if (odd !== undefined) throw invalidArgument(odd, `nothing beside equation '${equation}'`, given[odd]);
  const value = given[constant];
  if (value === undefined) throw invalidArgument(constant, `a number, of equation '${equation}'`, value);
  const still = [nu ?? []].flat().find((one) => one <= 0);
  if (still !== undefined) throw invalidArgument('nu', 'a number above 0', still);
  return { ...pinnDefaults, ...settings, model: make(network), constants: { [constant]: value } };
}
