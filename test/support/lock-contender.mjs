/**
 * A process that locks a directory again and again, beside others that do the same; with the lock it does what only one
 * may do at a time: `node lock-contender.mjs DIRECTORY TIMES DEAD`. Every other time it leaves the lock as process DEAD
 * would have, by dying with it.
 *
 * Exits with 0 after TIMES locks, with 1 where another process was in too.
 */
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lockDirectory } from '../../dist/formats/directoryLock.js';

const [directory = '', times = '', dead = ''] = process.argv.slice(2);
const inside = join(directory, 'inside');
const file = join(directory, 'ptmz.lock');

/** The lock, as soon as the others leave it. */
async function lock() {
  for (;;) {
    try {
      return lockDirectory(directory);
    } catch (error) {
      if (/** @type {{ code?: string }} */ (error).code !== 'BUSY') throw error;
      await sleep(0);
    }
  }
}

for (let count = 0; count < Number(times); count++) {
  const held = await lock();
  // Fails where the file is there: another one is in.
  closeSync(openSync(inside, 'wx'));
  await sleep(0);
  rmSync(inside);
  if (count % 2) {
    const owner = { ...JSON.parse(readFileSync(file, 'utf8')), process: Number(dead), id: `${process.pid} ${count}` };
    writeFileSync(`${file}.${process.pid}`, JSON.stringify(owner));
    renameSync(`${file}.${process.pid}`, file);
  }
  held[Symbol.dispose]();
}
