/** D3: a disk that is full in the middle of a training: the run pauses and goes on, or ends by option. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DiskFullError, loadRun } from '../../dist/index.js';
import { readCheckpoint } from '../../dist/train/checkpoint.js';
import { listCheckpoints } from '../../dist/train/checkpoints.js';
import { fingerprint, start } from '../../test/support/checkpointed-training.mjs';
import { call, inFolder, mounted, whyNoMounts } from '../../test/support/mounts.mjs';

const page = 4096;

/** Bytes of whole pages that a checkpoint takes. @param {string} path */
const sizeOf = (path) =>
  readdirSync(path).reduce((sum, name) => sum + Math.ceil(statSync(join(path, name)).size / page) * page, 0);

/** What is wrong with the directory of a training that met the full disk. @param {string} directory @param {unknown} error */
function complaint(directory, error) {
  if (!(error instanceof DiskFullError) || error.code !== 'DISK_FULL') return `not typed: ${String(error)}`;
  if (!(Number(error.free) < Number(error.needed))) return `sizes make no sense: ${error.message}`;
  const left = readdirSync(directory).filter((name) => name.startsWith('.'));
  if (left.length > 0) return `temporaries left: ${left.join()}`;
  const older = listCheckpoints(directory);
  older.forEach(readCheckpoint);
  return older.length === 0 ? 'no older checkpoint' : undefined;
}

/**
 * Trains in a file system of `size` bytes, which grows once it is full. @param {string} mount @param {number} size
 * @param {boolean} wait
 */
async function trial(mount, size, wait) {
  /** @type {(string | undefined)[]} */
  const complaints = [];
  const { data, run: fresh } = await start();
  const grow = () => call('mount', '-o', 'remount,size=64m', mount);
  const saving = { saveTo: mount, saveEvery: { steps: 9 }, keep: 1, threads: 1 };
  return mounted(['-t', 'tmpfs', '-o', `size=${size}`], 'none', mount, async () => {
    let run = fresh();
    if (wait) {
      const onDiskFull = (/** @type {unknown} */ error) => {
        complaints.push(complaint(mount, error));
        void sleep(50).then(grow);
      };
      await run.train({ ...saving, onDiskFull });
    } else {
      const error = await run.train({ ...saving, whenDiskFull: 'throw' }).catch((error) => error);
      complaints.push(complaint(mount, error));
      grow();
      run = await loadRun(mount, { data });
      await run.train(saving);
    }
    return { complaints, sha: fingerprint(run), saved: fingerprint(await loadRun(mount, { data })) };
  });
}

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'D3',
  fault: 'full disk (tmpfs of as many sizes, from one checkpoint to two), half of the runs wait, half end by option',
  trials: { full: 40, quick: 6 },
  unavailable: whyNoMounts,
  async run({ trials, report }) {
    const counts = { typed: 0, damaged: 0, equal: 0 };
    await inFolder(async (folder) => {
      const reference = (await start()).run();
      await reference.train({ threads: 1 });
      const expected = fingerprint(reference);
      const { path } = await reference.save(join(folder, 'reference'));
      const need = sizeOf(path);
      for (let i = 0; i < trials; i++) {
        const size = need + page * (1 + Math.floor((i * (need / page - 2)) / trials));
        const { complaints, sha, saved } = await trial(join(folder, 'mount'), size, i % 2 === 0);
        const bad = complaints.filter((found) => found !== undefined);
        if (complaints.length === 1 && bad.length === 0) counts.typed += 1;
        else process.stderr.write(`  ${size} bytes: ${bad.join('; ') || `${complaints.length} pauses`}\n`);
        if (saved !== sha) counts.damaged += 1;
        if (sha === expected) counts.equal += 1;
        report((i + 1) / trials, `${i + 1} of ${trials} sizes`);
      }
    });
    const { typed, damaged, equal } = counts;
    return {
      passed: typed === trials && damaged === 0 && equal === trials,
      figures: `${typed} of ${trials} typed with older checkpoints whole, ${damaged} damaged; with space again ${equal} of ${trials} end with the same SHA-256`,
    };
  },
};
