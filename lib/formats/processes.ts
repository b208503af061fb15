/** Processes of this machine: whether one lives, when it began, and where its number means anything. */
import { spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** @internal */
export function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** When a process began, in words of the system; null where it does not say, or there is no such process. @internal */
export function startTime(processId: number): string | null {
  if (process.platform === 'win32') return null;
  return process.platform === 'linux' ? startTimeOfProc(processId) : startTimeOfPs(processId);
}

function startTimeOfProc(processId: number): string | null {
  // Linux, proc(5): field 22; the second one is a name in brackets, which may hold anything.
  const stat = quietly(() => readFileSync(`/proc/${processId}/stat`, 'latin1'));
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}

/** Of POSIX systems without /proc; to the second. @internal */
export function startTimeOfPs(processId: number): string | null {
  // The same words whatever the language and the time zone of who asks.
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC0' };
  const { stdout } = spawnSync('ps', ['-o', 'lstart=', '-p', String(processId)], { env, encoding: 'utf8' });
  return stdout?.trim() || null;
}

/** Within which process numbers are unique; null where the system does not say. @internal */
export interface Surroundings {
  host: string;
  /** Tells machines of one name apart. */
  machine: string | null;
  /** Another one each time that the machine starts. */
  boot: string | null;
  /** Containers count processes on their own. */
  space: string | null;
}

/** Those of this process. @internal */
export function surroundings(): Surroundings {
  return {
    host: hostname(),
    machine: firstLine('/etc/machine-id'),
    boot: firstLine('/proc/sys/kernel/random/boot_id'),
    space: quietly(() => readlinkSync('/proc/self/ns/pid')),
  };
}

const firstLine = (path: string) => quietly(() => readFileSync(path, 'utf8').split('\n')[0]!.trim() || null);

function quietly<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}
