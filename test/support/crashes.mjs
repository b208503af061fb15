/** Ends of a training that saves itself at a random moment: kill -9, SIGINT and SIGTERM, a simulated power cut. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readCheckpoint } from '../../dist/train/checkpoint.js';
import { listCheckpoints } from '../../dist/train/checkpoints.js';
import { call, inFolder, mounted, whyNoMounts } from './mounts.mjs';

const training = fileURLToPath(new URL('./checkpointed-training.mjs', import.meta.url));

/** @typedef {{ lost: boolean, torn: number, equal: boolean, finished: boolean }} Outcome */

/** @typedef {{ sha?: string, milliseconds: number, saves: number }} Reference an uninterrupted training */

/** @typedef {import('node:child_process').ChildProcess} Child */

/**
 * Starts the training; `after` runs `delay` ms after its first step began and it saved `saves` times, or at its end.
 * @param {string[]} args
 * @param {{ saves: number, delay: number }} moment
 * @param {(child: Child) => Promise<void>} after
 */
async function interrupted(args, { saves, delay }, after) {
  const child = spawn(process.execPath, [training, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  let ended = NaN;
  const closed = new Promise((resolve) => child.once('close', resolve)).then(() => (ended = performance.now()));
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
  // A process that a signal ended has the code that a shell gives it.
  const code = child.exitCode ?? 128 + constants.signals[child.signalCode ?? 'SIGKILL'];
  return { output, code, ended };
}

// Counted in checkpoints, since the same training is faster or slower on another file system.
const randomMoment = (/** @type {Reference} */ { saves, milliseconds }) => ({
  saves: Math.floor(Math.random() * saves),
  delay: (Math.random() * milliseconds) / saves,
});

/** Runs the training to its end; its fingerprint and the ms from its first step on. @param {string[]} args */
export async function wholeTraining(args) {
  let began = 0;
  const { output } = await interrupted(args, { saves: 0, delay: 0 }, async () => void (began = performance.now()));
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
  return inFolder(async (folder) => {
    const directory = join(folder, 'run');
    const args = [directory, ...settings];
    const kill = async (/** @type {Child} */ child) => void child.kill('SIGKILL');
    const { output } = await interrupted(args, randomMoment(reference), kill);
    const state = inspect(directory, lastAcknowledged(output));
    const { sha } = await wholeTraining(args);
    return { ...state, equal: sha === reference.sha, finished: output.includes('SHA') };
  });
}

/** @typedef {Outcome & { code: number, milliseconds: number }} Stop how a process ended, how long after the signal */

/**
 * Stops a training at a random moment as a user or a scheduler does, then lets it go on to the end.
 * @param {Reference} reference
 * @param {{ signal: 'SIGINT' | 'SIGTERM', twice: boolean, settings?: string[] }} options twice: a second one 5 ms later
 * @returns {Promise<Stop>}
 */
export async function stopTrial(reference, { signal, twice, settings = [] }) {
  return inFolder(async (folder) => {
    const directory = join(folder, 'run');
    const args = [directory, ...settings];
    let sent = 0;
    const { output, code, ended } = await interrupted(args, randomMoment(reference), async (child) => {
      sent = performance.now();
      child.kill(signal);
      if (twice) await sleep(5).then(() => child.kill(signal));
    });
    const state = inspect(directory, lastAcknowledged(output));
    const { sha } = await wholeTraining(args);
    // A training may end before the signal is heard.
    const finished = !output.includes('STOPPING') || output.includes('SHA');
    return { ...state, equal: sha === reference.sha, finished, code, milliseconds: ended - sent };
  });
}

/** Why there can be no power cuts here, or undefined. */
export function whyNoPowerCuts() {
  const { error } = spawnSync('mkfs.ext4', ['-V']);
  return error ? `mkfs.ext4: ${error.message}` : whyNoMounts();
}

/**
 * Trains on an ext4 image and copies the image at a random moment: what the file system had not flushed is missing from
 * the copy, as after a power cut. The copy is mounted (its journal replayed), inspected, and trained on to the end.
 * @param {Reference} reference
 * @param {string[]} settings saveEvery steps, keep
 * @returns {Promise<Outcome>}
 */
export async function powerCutTrial(reference, settings = []) {
  return inFolder(async (folder) => {
    const [image = '', copy = '', before = '', after = ''] = ['disk', 'copy', 'before', 'after'].map((name) =>
      join(folder, name),
    );
    call('truncate', '-s', '48M', image);
    call('mkfs.ext4', '-q', '-F', image);
    const { output } = await mounted(['-o', 'loop'], image, before, () =>
      interrupted([join(before, 'run'), ...settings], randomMoment(reference), async (child) => {
        child.kill('SIGSTOP');
        await sleep(30);
        call('cp', '--reflink=never', image, copy);
        child.kill('SIGKILL');
      }),
    );
    return mounted(['-o', 'loop'], copy, after, async () => {
      const directory = join(after, 'run');
      const state = inspect(directory, lastAcknowledged(output));
      const { sha } = await wholeTraining([directory, ...settings]);
      return { ...state, equal: sha === reference.sha, finished: output.includes('SHA') };
    });
  });
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
