/** Faults for a training that saves itself: kill -9 at a random moment, and a simulated power cut. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readCheckpoint } from '../../dist/train/checkpoint.js';
import { listCheckpoints } from '../../dist/train/checkpoints.js';

const training = fileURLToPath(new URL('./checkpointed-training.mjs', import.meta.url));

/** @typedef {{ lost: boolean, torn: number, equal: boolean, finished: boolean }} Outcome */

/** @typedef {{ sha?: string, milliseconds: number, saves: number }} Reference an uninterrupted training */

/**
 * Starts the training; `after` runs `delay` ms after its first step began and it saved `saves` times, or at its end.
 * @param {string[]} args
 * @param {{ saves: number, delay: number }} moment
 * @param {(child: import('node:child_process').ChildProcess) => Promise<void>} after
 */
async function interrupted(args, { saves, delay }, after) {
  const child = spawn(process.execPath, [training, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  const closed = new Promise((resolve) => child.once('close', resolve));
  await new Promise((resolve) => {
    child.stdout.on('data', (text) => {
      output += text;
      if (output.includes('START') && output.split('ACK').length > saves) resolve(undefined);
    });
    void closed.then(resolve);
  });
  await Promise.race([sleep(delay), closed]);
  await after(child);
  await closed;
  return output;
}

// Counted in checkpoints, since the same training is faster or slower on another file system.
const randomMoment = (/** @type {Reference} */ { saves, milliseconds }) => ({
  saves: Math.floor(Math.random() * saves),
  delay: (Math.random() * milliseconds) / saves,
});

/** Runs the training to its end; its fingerprint and the ms from its first step on. @param {string[]} args */
export async function wholeTraining(args) {
  let began = 0;
  const output = await interrupted(args, { saves: 0, delay: 0 }, async () => void (began = performance.now()));
  const saves = output.split('ACK').length - 1;
  return { sha: /SHA (\w+)/.exec(output)?.[1], milliseconds: performance.now() - began, saves };
}

/** Step of the last checkpoint that the training said was safe. @param {string} output */
const lastAcknowledged = (output) =>
  Math.max(0, ...[...output.matchAll(/ACK \S+ (\d+)\n/g)].map(([, step]) => Number(step)));

/** Whether an acknowledged checkpoint is gone, and how many visible ones are not whole. @param {string} directory */
function inspect(directory, acknowledged = 0) {
  let newest = 0;
  let torn = 0;
  for (const path of existsSync(directory) ? listCheckpoints(directory) : []) {
    try {
      newest = Math.max(newest, readCheckpoint(path).manifest.step);
    } catch {
      torn += 1;
    }
  }
  return { lost: newest < acknowledged, torn };
}

/**
 * Kills a training at a random moment, then lets it go on to the end.
 * @param {Reference} reference
 * @param {string[]} settings saveEvery steps, keep
 * @returns {Promise<Outcome>}
 */
export async function killTrial(reference, settings = []) {
  const folder = mkdtempSync(join(tmpdir(), 'ptmz-kill-'));
  try {
    const directory = join(folder, 'run');
    const args = [directory, ...settings];
    const kill = async (/** @type {import('node:child_process').ChildProcess} */ child) => void child.kill('SIGKILL');
    const output = await interrupted(args, randomMoment(reference), kill);
    const state = inspect(directory, lastAcknowledged(output));
    const { sha } = await wholeTraining(args);
    return { ...state, equal: sha === reference.sha, finished: output.includes('SHA') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Why file systems cannot be mounted here, or undefined. */
export function whyNoMounts() {
  if (process.platform !== 'linux') return 'mounting file systems for tests needs Linux';
  if (process.getuid?.() !== 0) return 'mounting file systems needs root';
  const folder = mkdtempSync(join(tmpdir(), 'ptmz-mount-'));
  const { status, stderr, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', folder]);
  if (status === 0) spawnSync('umount', [folder]);
  rmSync(folder, { recursive: true });
  return status === 0 ? undefined : `mount is refused: ${error?.message ?? String(stderr).trim()}`;
}

/** Why there can be no power cuts here, or undefined. */
export function whyNoPowerCuts() {
  const { error } = spawnSync('mkfs.ext4', ['-V']);
  return error ? `mkfs.ext4: ${error.message}` : whyNoMounts();
}

const call = (/** @type {string} */ command, /** @type {string[]} */ ...args) =>
  execFileSync(command, args, { stdio: 'pipe' });

/**
 * Trains on an ext4 image and copies the image at a random moment: what the file system had not flushed is missing from
 * the copy, as after a power cut. The copy is mounted (its journal replayed), inspected, and trained on to the end.
 * @param {Reference} reference
 * @param {string[]} settings saveEvery steps, keep
 * @returns {Promise<Outcome>}
 */
export async function powerCutTrial(reference, settings = []) {
  const folder = mkdtempSync(join(tmpdir(), 'ptmz-power-'));
  const [image, copy, before, after] = ['disk', 'copy', 'before', 'after'].map((name) => join(folder, name));
  mkdirSync(before);
  mkdirSync(after);
  try {
    call('truncate', '-s', '48M', image);
    call('mkfs.ext4', '-q', '-F', image);
    call('mount', '-o', 'loop', image, before);
    let output;
    try {
      output = await interrupted([join(before, 'run'), ...settings], randomMoment(reference), async (child) => {
        child.kill('SIGSTOP');
        await sleep(30);
        call('cp', '--reflink=never', image, copy);
        child.kill('SIGKILL');
      });
    } finally {
      call('umount', before);
    }
    call('mount', '-o', 'loop', copy, after);
    try {
      const directory = join(after, 'run');
      const state = inspect(directory, lastAcknowledged(output));
      const { sha } = await wholeTraining([directory, ...settings]);
      return { ...state, equal: sha === reference.sha, finished: output.includes('SHA') };
    } finally {
      call('umount', after);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * The figures of many trials. @param {Outcome[]} outcomes
 */
export function summary(outcomes) {
  const count = (/** @type {(o: Outcome) => boolean} */ what) => outcomes.filter(what).length;
  return {
    trials: outcomes.length,
    interrupted: count((o) => !o.finished),
    lost: count((o) => o.lost),
    torn: count((o) => o.torn > 0),
    equal: count((o) => o.equal),
  };
}
