/** D1: kill -9 at random moments of a training that saves itself. */
import { join } from 'node:path';
import { killTrial, summary, wholeTraining } from '../../test/support/crashes.mjs';
import { inFolder } from '../../test/support/mounts.mjs';

/**
 * Interrupted trials and their sum. One that ended before its fault was not interrupted and does not count.
 * @param {string} fault in the plural
 * @param {typeof killTrial} trial
 * @param {string[]} settings saveEvery steps, keep
 * @param {import('./rows.mjs').Context} context
 */
export async function crashSeries(fault, trial, settings, { trials, report }) {
  const reference = await inFolder((folder) => wholeTraining([join(folder, 'run'), ...settings]));
  const outcomes = [];
  while (outcomes.length < trials) {
    const outcome = await trial(reference, settings);
    if (!outcome.finished) outcomes.push(outcome);
    report(outcomes.length / trials, `${outcomes.length} of ${trials}`);
  }
  const { lost, torn, equal } = summary(outcomes);
  return {
    passed: lost === 0 && torn === 0 && equal === trials,
    figures: `${trials} ${fault}: ${lost} checkpoints lost, ${torn} torn, ${equal} of ${trials} end with the same SHA-256`,
  };
}

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'D1',
  fault: 'kill -9 at a random moment (ResNet-18 w2, 3 members, saved every 3 steps, keep 1)',
  trials: { full: 200, quick: 10 },
  run: (context) => crashSeries('kills', killTrial, ['3', '1'], context),
};
