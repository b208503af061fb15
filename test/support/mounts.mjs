/** File systems mounted for a test, and why they cannot be. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs a command; throws where it fails. @param {string} command @param {string[]} args */
export const call = (command, ...args) => execFileSync(command, args, { stdio: 'pipe' });

/**
 * Calls `work` with a new empty folder, which is removed afterwards.
 * @template T
 * @param {(folder: string) => Promise<T>} work
 */
export async function inFolder(work) {
  const folder = mkdtempSync(join(tmpdir(), 'ptmz-test-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Mounts `source` at `target`, which is made, for as long as `work` runs.
 * @template T
 * @param {string[]} options of mount
 * @param {string} source
 * @param {string} target
 * @param {() => Promise<T>} work
 */
export async function mounted(options, source, target, work) {
  mkdirSync(target, { recursive: true });
  call('mount', ...options, source, target);
  try {
    return await work();
  } finally {
    call('umount', target);
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
