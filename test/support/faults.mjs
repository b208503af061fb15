/** Faults put in the way of a checkpoint: the n-th call to the disk fails, the disk is full, a bit turns over. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** @typedef {typeof import('../../lib/formats/atomicFile.ts').disk} Disk */
/** @typedef {{ calls: number, failed: keyof Disk | undefined, restore(): void }} Fault */

/**
 * Makes the n-th call fail with a system error, or, for the code `SHORT`, the n-th write take only half of its bytes.
 * @param {Disk} disk the table of calls; `restore()` puts the real ones back
 * @param {number} n from 1
 * @param {string} code such as EIO
 * @returns {Fault}
 */
export function failNthCall(disk, n, code) {
  const real = { ...disk };
  /** @type {Fault} */
  const fault = { calls: 0, failed: undefined, restore: () => void Object.assign(disk, real) };
  for (const [name, work] of Object.entries(real)) {
    if (code === 'SHORT' && name !== 'write') continue;
    Object.assign(disk, {
      [name]: (/** @type {any[]} */ ...args) => {
        if (++fault.calls !== n) return /** @type {any} */ (work)(...args);
        fault.failed = /** @type {keyof Disk} */ (name);
        if (code === 'SHORT') return real.write(args[0], args[1].subarray(0, Math.ceil(args[1].length / 2)));
        throw Object.assign(new Error(`${code}: put in the way`), { code });
      },
    });
  }
  return fault;
}

/**
 * Makes the disk full for the tensors of checkpoints; smaller files still fit.
 * @param {Disk} disk the table of calls
 * @returns {() => void} makes room
 */
export function fillDisk(disk) {
  const { open } = disk;
  disk.open = (path, flags) => {
    if (!path.endsWith('.safetensors')) return open(path, flags);
    throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  };
  return () => void (disk.open = open);
}

/**
 * Turns over one random bit of the files of a directory, every bit as likely as any other.
 * @param {string} directory
 * @returns {{ file: string, restore(): void }} the file it is in; `restore()` turns it back
 */
export function flipRandomBit(directory) {
  const files = readdirSync(directory).map((name) => {
    const file = join(directory, name);
    return { file, bytes: readFileSync(file) };
  });
  let position = Math.floor(Math.random() * files.reduce((sum, { bytes }) => sum + bytes.length, 0));
  for (const { file, bytes } of files) {
    if (position >= bytes.length) {
      position -= bytes.length;
      continue;
    }
    const changed = Buffer.from(bytes);
    changed.writeUInt8(changed.readUInt8(position) ^ (1 << Math.floor(Math.random() * 8)), position);
    writeFileSync(file, changed);
    return { file, restore: () => writeFileSync(file, bytes) };
  }
  throw new Error(`${directory} holds no bytes`);
}
