// Counts what the library survives: `npm run reliability -- [--only D3,D4] [--quick] [--json FILE]`. Every row is a file of
// reliability/. Figures of the full counts are kept in docs/reliability.md; with --quick, counts for CI, nothing is kept.
// Rows that the machine cannot run are skipped, with the reason; exits with 1 if one fails.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createProgress } from '../dist/cli/progress.js';
import { formatDuration } from '../dist/cli/table.js';
import { loadRows } from './reliability/rows.mjs';
import { keepTable, provenance } from './reliability/table.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

const rows = await loadRows();
if (values.help) {
  console.log('npm run reliability -- [--only ROW,ROW...] [--quick] [--json FILE]\n');
  for (const { id, fault } of rows) console.log(`  ${id.padEnd(4)} ${fault}`);
  process.exit(0);
}
const wanted = values.only?.split(',').map((id) => id.trim().toUpperCase());
const unknown = wanted?.filter((id) => !rows.some((row) => row.id === id)) ?? [];
if (unknown.length > 0) {
  const known = [...new Set(rows.map(({ id }) => id))].join(', ');
  console.error(`--only: expected some of ${known}, received ${unknown.join(', ')}`);
  process.exit(1);
}
const measured = provenance();
const progress = createProgress();
const results = [];
for (const row of rows.filter(({ id }) => !wanted || wanted.includes(id))) {
  const result = await measure(row);
  results.push(result);
  console.log(`${row.id.padEnd(4)} ${result.verdict.padEnd(8)} ${result.figures} (${formatDuration(result.seconds)})`);
}

const count = (verdict) => results.filter((result) => result.verdict === verdict).length;
console.log(`${count('passed')} passed, ${count('FAILED')} failed, ${count('skipped')} skipped`);
if (!values.quick) keepTable(results, rows, measured);
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({ measured, quick: values.quick, results }, null, 2)}\n`);
process.exitCode = count('FAILED') > 0 ? 1 : 0;

async function measure({ id, fault, trials, unavailable, run }) {
  const reason = unavailable?.();
  if (reason !== undefined) return { id, fault, verdict: 'skipped', figures: reason, seconds: 0 };
  progress.begin(`${id}: ${fault}`);
  const began = performance.now();
  const seconds = () => (performance.now() - began) / 1000;
  const report = (fraction, details) => progress.update(fraction, (seconds() / fraction) * (1 - fraction), details);
  try {
    const { passed, figures } = await run({ trials: values.quick ? trials.quick : trials.full, report });
    progress.end(figures);
    return { id, fault, verdict: passed ? 'passed' : 'FAILED', figures, seconds: seconds() };
  } catch (error) {
    progress.end('failed');
    console.error(error);
    return {
      id,
      fault,
      verdict: 'FAILED',
      figures: `${error.code ?? error.name}: ${error.message}`,
      seconds: seconds(),
    };
  }
}
