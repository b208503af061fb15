/** npm run reliability: its rows with small counts where no other test tries the same, its options, its table. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import syscalls from '../scripts/reliability/d2-syscalls.mjs';
import unwritable from '../scripts/reliability/d8-unwritable.mjs';
import fuzz from '../scripts/reliability/f8-fuzz.mjs';
import { loadRows } from '../scripts/reliability/rows.mjs';
import { withResults } from '../scripts/reliability/table.mjs';
import nonFinite from '../scripts/reliability/x1-non-finite.mjs';
import threads from '../scripts/reliability/x2-threads.mjs';
import processes from '../scripts/reliability/x3-processes.mjs';

const script = fileURLToPath(new URL('../scripts/reliability.mjs', import.meta.url));

describe('rows', () => {
  test.each(
    [syscalls, unwritable, fuzz, nonFinite, threads, processes].map((row) => [row.id, row.fault, row] as const),
  )('%s: %s', { timeout: 60_000 }, async (_id, _fault, row) => {
    const reason = row.unavailable?.();
    if (reason !== undefined) {
      expect(reason).toMatch(/Linux|root|mount|strace/);
      return;
    }
    const fractions: number[] = [];
    const outcome = await row.run({ trials: row.trials.quick, report: (fraction) => fractions.push(fraction) });
    expect(outcome).toMatchObject({ passed: true });
    expect(fractions.every((fraction) => fraction > 0 && fraction <= 1)).toBe(true);
  });

  test('there is one of every promised id, in order, and an id that is none is refused', async () => {
    const rows = await loadRows();
    const ids = [...new Set(rows.map(({ id }) => id))];
    expect(ids).toEqual(['D1', 'D2', 'D3', 'D4', 'D7', 'D8', 'D14', 'F8', 'X1', 'X2', 'X3']);
    expect(new Set(rows.map(({ id, fault }) => id + fault)).size).toBe(rows.length);
    const { status, stderr } = spawnSync(process.execPath, [script, '--only', 'D3,D99'], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([1, expect.stringMatching(/D1, D2.*received D99/)]);
  });
});

test('the table keeps rows that were not measured, replaces those that were, and forgets what is no row', () => {
  const order = [
    { id: 'D1', fault: 'kills' },
    { id: 'D2', fault: 'cuts' },
  ];
  const result = (id: string, fault: string, figures: string) =>
    ({ id, fault, verdict: 'passed', figures, seconds: 1.4 }) as const;
  const empty = 'before\n<!-- table: begin -->\n<!-- table: end -->\nafter\n';
  const first = [result('D2', 'cuts', 'old'), result('D1', 'kills', 'a|b'), result('D9', 'gone', 'x')];
  const once = withResults(empty, first, [...order, { id: 'D9', fault: 'gone' }], 'then');
  const twice = withResults(once, [result('D2', 'cuts', 'new')], order, 'now');
  const lines = twice.split('\n').map((line) => line.replace(/ +/g, ' '));
  expect(lines).toEqual([
    'before',
    '<!-- table: begin -->',
    '',
    '| row | fault | verdict | figures | time | measured |',
    expect.stringMatching(/^[| -]+$/),
    '| D1 | kills | passed | a/b | 1 s | then |',
    '| D2 | cuts | passed | new | 1 s | now |',
    '',
    '<!-- table: end -->',
    'after',
    '',
  ]);
});
