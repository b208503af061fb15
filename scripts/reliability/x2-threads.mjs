/** X2: results do not depend on the number of threads, nor on who trains beside a member. */
import { createHash } from 'node:crypto';
import { trained, trainings } from './trainings.mjs';

const threadCounts = [1, 2, 4, 16];

/** @param {import('../../lib/index.ts').Run} run @param {number} m */
function memberSha(run, m) {
  const hash = createHash('sha256');
  Object.values(run.stateDict(m)).forEach(({ data }) => hash.update(data));
  const history = run.history.map(({ trainLoss, trainAccuracy, testLoss, testAccuracy }) =>
    [trainLoss, trainAccuracy, testLoss, testAccuracy].map((values) => values[m]),
  );
  return hash.update(JSON.stringify(history)).digest('hex');
}

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'X2',
  fault:
    '1, 2, 4 and 16 threads; 3 members at once and one by one (ResNet-18 w2 and w8, ResNet-50 w2; SGD, AdamW; 5 steps)',
  trials: { full: trainings.length, quick: 2 },
  async run({ trials, report }) {
    const counts = { threads: 0, members: 0 };
    const seeds = [0, 1, 2];
    for (const [i, training] of trainings.slice(0, trials).entries()) {
      const shas = [];
      for (const threads of threadCounts) {
        const { run, sha } = await trained(training, seeds, threads);
        shas.push(sha);
        if (threads === 1) {
          for (const [m, seed] of seeds.entries()) {
            const alone = (await trained(training, [seed], 2)).run;
            if (memberSha(alone, 0) === memberSha(run, m)) counts.members += 1;
            alone.dispose();
          }
        }
        run.dispose();
        report((i + shas.length / threadCounts.length) / trials, training.name);
      }
      counts.threads += shas.filter((sha) => sha === shas[0]).length;
    }
    const [threads, members] = [trials * threadCounts.length, trials * seeds.length];
    return {
      passed: counts.threads === threads && counts.members === members,
      figures: `${counts.threads} of ${threads} runs bit-identical over thread counts; ${counts.members} of ${members} members bit-identical alone`,
    };
  },
};
