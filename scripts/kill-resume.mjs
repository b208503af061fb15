// `node scripts/kill-resume.mjs [--count 200] [--cuts 0] [--every 3] [--keep 1]`: a small ResNet population is killed with
// SIGKILL at `count` random moments, and loses power at `cuts`; prints how many checkpoints were lost or torn, and how many
// trainings ended with the bits of the uninterrupted one. Needs a built package; power cuts need root.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { killTrial, powerCutTrial, summary, wholeTraining, whyNoPowerCuts } from '../test/support/crashes.mjs';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '200' },
    cuts: { type: 'string', default: '0' },
    every: { type: 'string', default: '3' },
    keep: { type: 'string', default: '1' },
  },
});
const settings = [values.every, values.keep];
const folder = mkdtempSync(join(tmpdir(), 'ptmz-reference-'));
const reference = await wholeTraining([join(folder, 'run'), ...settings]);
rmSync(folder, { recursive: true });

async function series(name, count, trial) {
  const outcomes = [];
  // A training that ended before its fault was not interrupted: that one does not count.
  while (outcomes.length < count) {
    const outcome = await trial(reference, settings);
    if (!outcome.finished) outcomes.push(outcome);
  }
  const result = summary(outcomes);
  console.log(
    JSON.stringify({ fault: name, saveEverySteps: Number(values.every), keep: Number(values.keep), ...result }),
  );
  return result.lost === 0 && result.torn === 0 && result.equal === result.trials;
}

let good = await series('kill -9', Number(values.count), killTrial);
const reason = Number(values.cuts) > 0 ? whyNoPowerCuts() : 'none asked for';
if (reason === undefined) good = (await series('power cut', Number(values.cuts), powerCutTrial)) && good;
else console.log(`power cuts: ${reason}`);
process.exitCode = good ? 0 : 1;
