/** D8: directories that cannot be written to, known before any training. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inFolder, mounted, whyNoMounts } from '../../test/support/mounts.mjs';

const training = fileURLToPath(new URL('../../test/support/unwritable.mjs', import.meta.url));
// Root writes through any mode: another user's eyes are needed.
const nobody = { uid: 65534, gid: 65534 };

/** How a training that saves there ends. @param {string} directory @param {{ uid?: number, gid?: number }} user */
function outcome(directory, user = {}) {
  const { stdout, stderr } = spawnSync(process.execPath, [training, directory], {
    ...user,
    cwd: '/',
    encoding: 'utf8',
  });
  return stdout.trim() || stderr.trim();
}

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'D8',
  fault:
    'unwritable directory: read-only mount, uid 65534, a file in its place; each with the directory there and missing',
  trials: { full: 6, quick: 6 },
  unavailable: whyNoMounts,
  async run({ trials, report }) {
    const cases = await inFolder(async (folder) => {
      chmodSync(folder, 0o755);
      const [directory, mount, file] = ['own', 'mount', 'file'].map((name) => join(folder, name));
      mkdirSync(directory, { mode: 0o755 });
      writeFileSync(file, '');
      const found = await mounted(['-o', 'bind,ro'], directory, mount, async () => [
        outcome(mount),
        outcome(join(mount, 'below')),
      ]);
      report(0.5, 'read-only mount');
      found.push(outcome(directory, nobody), outcome(join(directory, 'below'), nobody));
      return [...found, outcome(file), outcome(join(file, 'below'))];
    });
    const refused = cases.filter((text) => text === JSON.stringify({ code: 'NOT_WRITABLE', step: 0 }));
    cases.filter((text) => !refused.includes(text)).forEach((text) => process.stderr.write(`  ${text}\n`));
    return {
      passed: refused.length === trials,
      figures: `${refused.length} of ${trials} refused with NOT_WRITABLE before the first step`,
    };
  },
};
