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

/** The checkout and the machine that the figures belong to, one line. */
export function provenance() {
  const git = (/** @type {string[]} */ ...args) => execFileSync('git', args, { encoding: 'utf8' }).trim();
  let commit = 'no checkout';
  try {
    const changed = git('status', '--porcelain', '--', 'lib', 'native', 'bindings', 'scripts', 'test/support') !== '';
    commit = `${git('rev-parse', '--short', 'HEAD')}${changed ? ' and changes' : ''}`;
  } catch {
    // A package without its repository.
  }
  const date = new Date().toISOString().slice(0, 10);
  const cpu = os.cpus()[0]?.model.replace(/\s+/g, ' ').trim() ?? 'unknown processor';
  const system = `${os.type()} ${os.release().split('-')[0]}, Node ${process.versions.node}`;
  return `${date}, ${commit}, ${os.availableParallelism()} cores of ${cpu}, ${system}`;
}

const cells = (/** @type {string} */ line) =>
  line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
// A bar would end the cell.
const escaped = (/** @type {string} */ text) => text.replaceAll('|', '/').replaceAll('\n', ' ');
const keyOf = (/** @type {{ id: string, fault: string }} */ { id, fault }) => `${id} ${fault}`;

/** @param {string[][]} rows */
function format(rows) {
  const lines = [headings, ...rows];
  const widths = headings.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  const formatted = lines.map((line) => `| ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`);
  formatted.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  return formatted.join('\n');
}

/**
 * The document with the results in its table.
 * @param {string} text the document
 * @param {Result[]} results
 * @param {{ id: string, fault: string }[]} order all rows there are: others leave the table
 * @param {string} measured where and when
 */
export function withResults(text, results, order, measured) {
  const [from, to] = [text.indexOf(begin) + begin.length, text.indexOf(end)];
  const older = text
    .slice(from, to)
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map(cells)
    .slice(2);
  const rows = new Map(older.map((row) => [keyOf({ id: row[0] ?? '', fault: row[1] ?? '' }), row]));
  for (const result of results) {
    const { id, fault, verdict, figures, seconds } = result;
    rows.set(keyOf(result), [id, fault, verdict, figures, `${Math.round(seconds)} s`, measured].map(escaped));
  }
  const kept = order.map((row) => rows.get(keyOf(row))).filter((row) => row !== undefined);
  return `${text.slice(0, from)}\n\n${format(kept)}\n\n${text.slice(to)}`;
}

/**
 * Keeps results in docs/reliability.md.
 * @param {Result[]} results
 * @param {{ id: string, fault: string }[]} order
 * @param {string} measured
 */
export function keepTable(results, order, measured) {
  writeFileSync(file, withResults(readFileSync(file, 'utf8'), results, order, measured));
}
