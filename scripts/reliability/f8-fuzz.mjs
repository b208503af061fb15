/** F8: files of every format with random changes: each must be read or refused with a typed error, and soon. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setImmediate } from 'node:timers/promises';
import { PtmzError, readNpy, readSafetensors, readTorch } from '../../dist/index.js';
import { readMat } from '../../dist/data/matFile.js';
import { MersenneTwister } from '../../dist/data/mersenneTwister.js';
import { inFolder } from '../../test/support/mounts.mjs';

const root = fileURLToPath(new URL('../../test/', import.meta.url));
const slow = 1000;
const largest = 8192;

/** @type {{ extension: string, folder: string, read: (path: string) => unknown }[]} */
const formats = [
  { extension: '.pt', folder: 'fixtures/torch', read: readTorch },
  { extension: '.npy', folder: 'fixtures/torch', read: readNpy },
  { extension: '.safetensors', folder: 'oracle/fixtures/ops', read: readSafetensors },
  { extension: '.mat', folder: 'fixtures/mat', read: (path) => readMat(path, ['X', 'y', 'f8', 'cube'], 2 ** 22) },
];

/**
 * A copy with one to four changes: a byte, a bit, a piece of another file, a run of extreme bytes; one in ten is cut.
 * @param {readonly Buffer[]} files
 * @param {(below: number) => number} random
 */
function changed(files, random) {
  const any = () => /** @type {Buffer} */ (files[random(files.length)]);
  const bytes = Buffer.from(any());
  for (let count = 1 + random(4); count > 0; count--) {
    const at = random(bytes.length);
    const kind = random(4);
    if (kind === 0) bytes[at] = random(256);
    else if (kind === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
    else if (kind === 2) {
      const other = any();
      const from = random(other.length);
      other.copy(bytes, at, from, from + random(40));
    } else bytes.fill([0, 127, 128, 255][random(4)] ?? 0, at, Math.min(bytes.length, at + 1 + random(8)));
  }
  return random(10) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
}

/** @type {import('./rows.mjs').Row} */
export default {
  id: 'F8',
  fault: 'random changes and cuts of PyTorch, .npy, safetensors and MATLAB files',
  trials: { full: 200_000, quick: 4000 },
  run: ({ trials, report }) =>
    inFolder(async (folder) => {
      const generator = new MersenneTwister(8);
      const random = (/** @type {number} */ below) => generator.below(below - 1);
      const counts = { read: 0, refused: 0, other: 0, slow: 0 };
      const each = Math.ceil(trials / formats.length);
      for (const [index, { extension, folder: source, read }] of formats.entries()) {
        const paths = readdirSync(join(root, source)).filter((name) => name.endsWith(extension));
        const files = paths.map((name) => readFileSync(join(root, source, name))).filter((f) => f.length < largest);
        const path = join(folder, `changed${extension}`);
        for (let i = 0; i < each; i++) {
          const bytes = changed(files, random);
          writeFileSync(path, bytes);
          const began = performance.now();
          try {
            await read(path);
            counts.read += 1;
          } catch (error) {
            if (error instanceof PtmzError && error.code !== 'INTERNAL') counts.refused += 1;
            else {
              counts.other += 1;
              console.error(`${extension}, ${bytes.toString('base64')}:`, error);
            }
          }
          if (performance.now() - began > slow) counts.slow += 1;
          if (i % 200 !== 199) continue;
          await setImmediate();
          report((index * each + i + 1) / (each * formats.length), `${extension}: ${i + 1} of ${each}`);
        }
      }
      const { read, refused, other, slow: late } = counts;
      const total = read + refused + other;
      return {
        passed: other === 0 && late === 0,
        figures: `${total} files: ${refused} refused with a typed error, ${read} read, ${other} other errors, ${late} took more than ${slow / 1000} s`,
      };
    }),
};
