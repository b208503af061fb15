/** Some members of a population as a population of their own. */
import { PtmzError } from '../errors.js';
import type { Run } from './run.js';
import { prepareSettings } from './trainer.js';

/**
 * Parameters and buffers of some members, to be measured: a member's numbers depend on its seed alone, so they are those
 * that it has in its population. It is not trained further: optimizer state and history stay behind. Dispose of it.
 *
 * @param members positions in `run.seeds`, at least one
 * @param options `average: true` takes the moving average of the parameters, of a run that has one
 * @throws PtmzError `INVALID_ARGUMENT`, `OUT_OF_MEMORY`, `DISPOSED`
 * @internal
 */
export function selectMembers(run: Run, members: readonly number[], options: { average?: boolean } = {}): Run {
  if (options.average && !run.vectors.average)
    throw new PtmzError('INVALID_ARGUMENT', 'Expected a run with a moving average for average: true, it has none');
  const { optimizer, constants, weights, data, model, ...settings } = run.settings;
  const pick = <T>(values: readonly T[]) => members.map((m) => values[m]!);
  if (members.some((m) => run.seeds[m] === undefined))
    throw new PtmzError('INVALID_ARGUMENT', `Expected members below ${run.members}, got ${members.join(', ')}`);
  const subset = prepareSettings({
    ...settings,
    ...{ model, data, device: run.device },
    seeds: pick(run.seeds),
    lr: pick(settings.lr),
    optimizer: 'weightDecay' in optimizer ? { ...optimizer, weightDecay: pick(optimizer.weightDecay) } : optimizer,
    ...(weights && { weights: pick(weights) }),
    ...(constants && {
      constants: Object.fromEntries(Object.entries(constants).map(([name, values]) => [name, pick(values)])),
    }),
  });
  const { params, buffers, average } = run.vectors;
  const source = { params: options.average ? average! : params, buffers };
  for (const name of ['params', 'buffers'] as const)
    members.forEach((m, row) => subset.vectors[name]?.set(row, source[name]!.toArray(m) as Float64Array));
  return subset;
}
