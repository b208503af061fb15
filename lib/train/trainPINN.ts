/** trainPINN: networks for the convection equation, trained as those of the published zoo. */
import { convectionEquation, type EquationOptions } from '../models/equations.js';
import { takeNetwork } from './network.js';
import type { Run } from './run.js';
import { prepare, train, type ProblemTrainOptions, type TrainJobOptions } from './trainer.js';

/** What {@link trainPINN} takes: the equation, and any setting of {@link ProblemTrainOptions} that should differ. */
export type TrainPINNOptions = EquationOptions &
  Omit<ProblemTrainOptions, 'model' | 'constants'> & {
    /** Speed in u_t + beta u_x = 0; one number, or one per member. */
    beta: number | readonly number[];
  };

/** Of the published code: 50 pairs, tolerances 1e-7. @internal */
export const pinnDefaults = {
  optimizer: { kind: 'lbfgs', historySize: 50, toleranceGrad: 1e-7, toleranceChange: 1e-7 },
} as const;

/**
 * Trains a population of networks for u_t + beta u_x = 0 with L-BFGS, whose learning rate is the first trial of every
 * line search. Members may differ in beta, learning rate and seed.
 *
 * @returns the run, with the relative L2 error as `testLoss`; dispose of it
 * @throws PtmzError `INVALID_ARGUMENT` naming the option, `OUT_OF_MEMORY`; with an aborted signal it rejects with
 * `signal.reason`
 * @example
 * ```ts
 * import { trainPINN } from 'ptmz-native';
 * const small = { layers: [2, 10, 1], places: 16, times: 8, collocation: 20 };
 * using run = await trainPINN({ ...small, beta: [1, 30], lr: 1, seeds: [0, 0], epochs: 1, stepsPerEpoch: 20 });
 * run.history.at(-1)?.testLoss; // one error per member
 * ```
 */
export async function trainPINN(options: TrainPINNOptions & TrainJobOptions): Promise<Run> {
  return train(withModel(options));
}

/** As {@link trainPINN}, without starting: `run.train()` does that and can be aborted and continued. */
export function preparePINN(options: TrainPINNOptions): Run {
  return prepare(withModel(options));
}

function withModel<T extends TrainPINNOptions>(options: T) {
  const { network, rest } = takeNetwork<EquationOptions, T>(options, [
    ...(['layers', 'activation', 'collocation', 'pointSeed', 'weight', 'places', 'times'] as const),
  ]);
  const { beta, ...settings } = rest;
  return { ...pinnDefaults, ...settings, model: convectionEquation(network), constants: { beta } };
}
