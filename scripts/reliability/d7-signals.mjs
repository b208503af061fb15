/** D7: SIGINT and SIGTERM, once and twice, at random moments. */
import { join } from 'node:path';
import { stopTrial, wholeTraining } from '../../test/support/crashes.mjs';
import { inFolder } from '../../test/support/mounts.mjs';

const settings = ['3', '2'];
const codes = { SIGINT: 130, SIGTERM: 143 };
const limit = 2000;

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'D7',
  fault: 'SIGINT and SIGTERM at a random moment, every fifth time a second one 5 ms later',
  trials: { full: 100, quick: 8 },
  async run({ trials, report }) {
    const reference = await inFolder((folder) => wholeTraining([join(folder, 'run'), ...settings]));
    const stops = [];
    while (stops.length < trials) {
      const signal = stops.length % 2 === 0 ? 'SIGINT' : 'SIGTERM';
      const stop = await stopTrial(reference, { signal, twice: stops.length % 5 === 4, settings });
      if (!stop.finished) stops.push({ ...stop, right: stop.code === codes[signal] });
      report(stops.length / trials, `${stops.length} of ${trials}`);
    }
    const slowest = Math.max(...stops.map(({ milliseconds }) => milliseconds));
    const right = stops.filter(({ right }) => right).length;
    const valid = stops.filter(({ lost, torn, equal }) => !lost && torn === 0 && equal).length;
    return {
      passed: right === trials && valid === trials && slowest < limit,
      figures: `${right} of ${trials} exit with 130 or 143, the slowest after ${slowest.toFixed(0)} ms; ${valid} of ${trials} directories valid, with the same SHA-256 at the end`,
    };
  },
};
