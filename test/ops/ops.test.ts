/** Every operator and composite: value, derivatives to second order, and three members against three single runs. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { composites } from './composites.js';
import { primitives } from './primitives.js';
import { checkCase, type Row } from './row.js';

const table = readFileSync(new URL('../../native/ir/op.def', import.meta.url), 'utf8');
const operators = [...table.matchAll(/^PTMZ_OP\((\w+), [^,]+, \w+, ([^)]+)\)/gm)].map(([, name, flags]) => ({
  name: name!,
  differentiable: !flags!.includes('nondiff'),
}));

const fused = readFileSync(new URL('../../native/ir/fused.def', import.meta.url), 'utf8');
const fusedNames = [...fused.matchAll(/^PTMZ_FUSED\((\w+),/gm)].map(([, name]) => name!);

const describeRows = (rows: Row[]) => {
  for (const row of rows)
    for (const c of row.cases) test(`${row.name} ${JSON.stringify(Object.values(c.inputs))}`, () => checkCase(row, c));
};

describe('the table', () => {
  test('op.def was read', () => expect(operators.length).toBeGreaterThan(30));

  test.each(operators)('$name has a row with at least 3 shapes', ({ name, differentiable }) => {
    if (name === 'random') return; // has no derivative and no reference: see programs.test.ts
    const rows = [...primitives, ...composites].filter((row) => row.op === name || (name === 'fused' && row.fused));
    const fitting = rows.filter((row) => !differentiable || row.differentiable !== false);
    expect(fitting.flatMap((row) => row.cases).length).toBeGreaterThanOrEqual(3);
  });

  test.each(fusedNames)('fused %s has a row', (name) => {
    // The nodes called *_backward... appear in the derivatives of the others.
    const forward = name.replace(/_backward.*$/, '');
    expect(composites.some((row) => row.fused === forward)).toBe(true);
  });

  test.each(composites)('$name has at least 3 shapes', ({ cases }) => expect(cases.length).toBeGreaterThanOrEqual(3));
});

describe('operators', () => describeRows(primitives));
describe('composites', () => describeRows(composites));
