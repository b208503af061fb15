/** Processes of this machine: whether one lives, and when it began. */
import { readFileSync } from 'node:fs';

/** @internal */
export function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** When a process began, in a unit of the system; null where it does not say, or there is no such process. @internal */
export function startTime(processId: number): string | null {
  try {
    // Linux, proc(5): field 22; the second one is a name in brackets, which may hold anything.
    const stat = readFileSync(`/proc/${processId}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
