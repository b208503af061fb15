/** The table of docs/reliability.md: rows that were measured take the place of their older figures, the others stay. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';

/**
 * @typedef {object} Result
 * @property {string} id
 * @property {string} fault
 * @property {'passed' | 'FAILED' | 'skipped'} verdict
 * @property {string} figures or why it was skipped
 * @property {number} seconds
 */

const file = new URL('../../docs/reliability.md', import.meta.url);
const [begin, end] = ['<!-- table: begin -->', '<!-- table: end -->'];
const headings = ['row', 'fault', 'verdict', 'figures', 'time', 'measured'];

/** The checkout and the machine that the figures belong to. */
export function provenance() {
  const git = (/** @type {string[]} */ ...args) => execFileSync('git', args, { encoding: 'utf8' }).trim();
  let commit = 'no checkout';
  try {
    const changed = git('status', '--porcelain', '--', 'lib', 'native', 'bindings', 'scripts', 'test/support') !== '';
    commit = `${git('rev-parse', '--short', 'HEAD')}${changed ? ' and changes' : ''}`;
  } catch {
    // A package without its repository.
  }
  const cpu = os.cpus()[0]?.model.replace(/\s+/g, ' ').trim() ?? 'unknown processor';
  return {
    date: new Date().toISOString().slice(0, 10),
    commit,
    machine: `${os.availableParallelism()} cores of ${cpu}, ${os.type()} ${os.release().split('-')[0]}, Node ${process.versions.node}`,
  };
}

const cells = (/** @type {string} */ line) =>
  line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
const keyOf = (/** @type {string[]} */ [id, fault]) => `${id} ${fault}`;

/** @param {string[][]} rows */
function format(rows) {
  const lines = [headings, ...rows];
  const widths = headings.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  const formatted = lines.map((line) => `| ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`);
  formatted.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  return formatted.join('\n');
}

/**
 * Writes results into the document; `order` holds all rows there are, so that old ones go.
 * @param {Result[]} results
 * @param {{ id: string, fault: string }[]} order
 */
export function keepTable(results, order) {
  const text = readFileSync(file, 'utf8');
  const [from, to] = [text.indexOf(begin) + begin.length, text.indexOf(end)];
  const older = text
    .slice(from, to)
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map(cells)
    .slice(2);
  const { date, commit, machine } = provenance();
  const rows = new Map(older.map((row) => [keyOf(row), row]));
  for (const { id, fault, verdict, figures, seconds } of results)
    rows.set(keyOf([id, fault]), [
      id,
      fault,
      verdict,
      figures,
      `${Math.round(seconds)} s`,
      `${date}, ${commit}, ${machine}`,
    ]);
  const table = order.map(({ id, fault }) => rows.get(keyOf([id, fault]))).filter((row) => row !== undefined);
  writeFileSync(file, `${text.slice(0, from)}\n\n${format(table)}\n\n${text.slice(to)}`);
}
