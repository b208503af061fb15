/** D14: single bits of a checkpoint that turn over while it lies on the disk. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { loadRun } from '../../dist/index.js';
import { readCheckpoint } from '../../dist/train/checkpoint.js';
import { listCheckpoints } from '../../dist/train/checkpoints.js';
import { start } from '../../test/support/checkpointed-training.mjs';
import { flipRandomBit } from '../../test/support/faults.mjs';
import { inFolder } from '../../test/support/mounts.mjs';

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'D14',
  fault: 'one random bit of the newest checkpoint turns over',
  trials: { full: 1000, quick: 50 },
  run: ({ trials, report }) =>
    inFolder(async (directory) => {
      const { data, run: fresh } = await start();
      const run = fresh();
      await run.train({ saveTo: directory, saveEvery: { steps: 20 }, keep: 2 });
      const [older = '', newest = ''] = listCheckpoints(directory);
      const counts = { detected: 0, tensor: 0, fellBack: 0 };
      for (let i = 0; i < trials; i++) {
        const { file, restore } = flipRandomBit(newest);
        let error;
        try {
          readCheckpoint(newest);
        } catch (thrown) {
          error = /** @type {import('../../lib/index.ts').PtmzError} */ (thrown);
        }
        const loaded = await loadRun(directory, { data });
        restore();
        // Where the list of checksums itself changed, its file or the one of the changed line is named.
        const names = readdirSync(newest).some((name) => error?.message.includes(join(newest, name)));
        const right = file.endsWith('SHA256SUMS') ? names : error?.message.includes(file);
        if (error?.code === 'CHECKSUM_MISMATCH' && right) counts.detected += 1;
        if (error?.message.includes("tensor '")) counts.tensor += 1;
        const [warning = ''] = loaded.warnings;
        if (loaded.step === 20 && error && warning.startsWith(error.message) && warning.includes(older))
          counts.fellBack += 1;
        loaded.dispose();
        report((i + 1) / trials, `${i + 1} of ${trials} bits`);
      }
      const { detected, tensor, fellBack } = counts;
      return {
        passed: detected === trials && fellBack === trials,
        figures: `${detected} of ${trials} detected with CHECKSUM_MISMATCH naming the file (${tensor} also the tensor); ${fellBack} of ${trials} fall back to the checkpoint before and say so`,
      };
    }),
};
