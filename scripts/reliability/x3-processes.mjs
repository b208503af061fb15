/** X3: results do not depend on the process. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { trainings } from './trainings.mjs';

const script = fileURLToPath(new URL('trainings.mjs', import.meta.url));
const execute = promisify(execFile);

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'X3',
  fault: 'fresh processes (the trainings of X2, 2 members, all cores)',
  trials: { full: 20, quick: 3 },
  async run({ trials, report }) {
    const outputs = [];
    for (let i = 0; i < trials; i++) {
      outputs.push((await execute(process.execPath, [script])).stdout);
      report((i + 1) / trials, `${i + 1} of ${trials} processes`);
    }
    const whole = (outputs[0]?.match(/^\S+ [0-9a-f]{64}$/gm) ?? []).length === trainings.length;
    const equal = outputs.filter((output) => output === outputs[0]).length;
    return {
      passed: whole && equal === trials,
      figures: `${equal} of ${trials} processes print the same ${trainings.length} SHA-256`,
    };
  },
};
