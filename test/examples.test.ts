/** The examples run, and show what they promise. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = async (path: string): Promise<string> => {
  const file = fileURLToPath(new URL(`../examples/${path}`, import.meta.url));
  return (await promisify(execFile)(process.execPath, [file], { timeout: 60_000 })).stdout;
};

test('custom-loss: every quantile is learnt, and the HVP is right', { timeout: 60_000 }, async () => {
  const output = await run('custom-loss/main.mjs');
  const losses = [...output.matchAll(/quantile [\d.]+: loss ([\d.]+) -> ([\d.]+)/g)];
  expect(losses).toHaveLength(3);
  for (const [, first, last] of losses) expect(Number(last)).toBeLessThan(Number(first) / 3);
  expect(Number(/relative error (\S+)/.exec(output)![1])).toBeLessThan(1e-6);
});
