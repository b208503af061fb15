/** The built command line as a process of its own. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `ptmz` to its end in a folder. `onText` sees all of stderr so far and may send a signal. */
export function ptmz(
  cwd: string,
  args: readonly string[],
  onText?: (stderr: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<Finished> {
  const child = spawn(process.execPath, [main, ...args], { cwd });
  const result: Finished = { code: null, stdout: '', stderr: '' };
  child.stdout.on('data', (text) => (result.stdout += text));
  child.stderr.on('data', (text) => {
    result.stderr += text;
    onText?.(result.stderr, (signal) => child.kill(signal));
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...result, code }));
  });
}
