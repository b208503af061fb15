/** Files of tokens, and points of the convection equation, against numbers of nanoGPT's format and of NumPy. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { convection, convectionErrors, tokens, type PtmzError } from 'ptmz-native';
import { afterAll, describe, expect, test } from 'vitest';
import { MersenneTwister } from '../lib/data/mersenneTwister.js';

const root = mkdtempSync(join(tmpdir(), 'ptmz-tokens-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
function folder(files: Record<string, Uint8Array | Uint16Array | string>): string {
  const dir = join(root, `text${folders++}`);
  mkdirSync(dir);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content);
  return dir;
}
const code = (value: PtmzError['code']) => expect.objectContaining({ code: value }) as Error;
const thousand = Uint16Array.from({ length: 1000 }, (_, i) => (i * 37) % 50257);

describe('tokens', () => {
  test('windows, batches and their targets', async () => {
    using text = await tokens(folder({ 'train.bin': thousand, 'val.bin': thousand.subarray(0, 20) }));
    expect([text.vocabulary, text.train.count, text.test!.count]).toEqual([50257, 1000, 20]);
    expect(text.train.window(990, 10)).toEqual(thousand.slice(990));
    const { inputs, targets } = text.train.batch([0, 7, 995], 4);
    expect([...inputs]).toEqual([0, 7, 995].flatMap((at) => [...thousand.subarray(at, at + 4)]));
    expect([...targets]).toEqual([0, 7, 995].flatMap((at) => [...thousand.subarray(at + 1, at + 5)]));
    expect(text.train.starts(4)).toBe(996);
    expect(text.train.digest()).toBe(createHash('sha256').update(thousand).digest('hex'));
  });
  test('the vocabulary: asked for, in meta.json, in meta.pkl of nanoGPT', async () => {
    // pickle.dumps({'vocab_size': 65, 'itos': {0: 'a'}}, 4)
    const pickle = Buffer.from('gASVJAAAAAAAAAB9lCiMCnZvY2FiX3NpemWUS0GMBGl0b3OUfZRLAIwBYZRzdS4=', 'base64');
    const few = Uint16Array.of(1, 2, 3);
    const vocabulary = async (files: Record<string, Uint8Array | string>, options = {}) => {
      using text = await tokens(folder({ 'train.bin': few, ...files }), options);
      return text.vocabulary;
    };
    expect(await vocabulary({ 'meta.json': '{"vocabulary": 77}', 'meta.pkl': pickle })).toBe(77);
    expect(await vocabulary({ 'meta.pkl': pickle })).toBe(65);
    expect(await vocabulary({ 'meta.pkl': pickle }, { vocabulary: 66 })).toBe(66);
    await expect(vocabulary({ 'meta.json': '{"vocabulary": "x"}' })).rejects.toThrow(code('DATA_MALFORMED'));
    await expect(vocabulary({ 'meta.json': '{' })).rejects.toThrow(code('DATA_MALFORMED'));
    await expect(vocabulary({ 'meta.pkl': 'cposix\nsystem\n.' })).rejects.toThrow(code('UNSAFE_PICKLE'));
  });
  test('what cannot be is refused by name', async () => {
    await expect(tokens(root)).rejects.toThrow(code('DATA_MISSING'));
    await expect(tokens(folder({ 'train.bin': Uint8Array.of(1, 2, 3) }))).rejects.toThrow(code('DATA_MALFORMED'));
    await expect(tokens(folder({ 'train.bin': '' }))).rejects.toThrow(code('DATA_MALFORMED'));
    await expect(tokens(folder({ 'train.bin': thousand, 'val.bin': 'x' }))).rejects.toThrow(code('DATA_MALFORMED'));
    await expect(tokens(root, { vocabulary: 65537 })).rejects.toThrow(code('INVALID_ARGUMENT'));
    const text = await tokens(folder({ 'train.bin': thousand }), { vocabulary: 1000 });
    const { train } = text;
    expect(() => train.window(0, 40)).toThrow(/token 1036 at 28, the vocabulary has 1000/);
    expect(() => train.window(995, 6)).toThrow(code('INVALID_ARGUMENT'));
    expect(() => train.batch([997], 4)).toThrow(/offsets\[0\]/);
    expect(() => train.batch([0], 1000)).toThrow(/block/);
    text[Symbol.dispose]();
    expect(() => train.window(0, 1)).toThrow(code('DISPOSED'));
  });
});

describe('convection', () => {
  test('random numbers are those of NumPy', () => {
    // numpy.random.RandomState(seed).choice(count, size, replace=False), NumPy 2.4
    const draw = (seed: number, count: number, size: number) => [...new MersenneTwister(seed).choice(count, size)];
    expect(draw(0, 255 * 99, 6)).toEqual([9622, 20470, 13395, 20088, 3439, 17819]);
    expect(draw(12345, 1000, 5)).toEqual([144, 833, 270, 468, 962]);
    expect(draw(2 ** 32 - 1, 70000, 3)).toEqual([14972, 66828, 49490]);
    expect(draw(1, 1, 1)).toEqual([0]);
  });
  test('grids are those of numpy.linspace, the collocation points its interior', () => {
    const { grid, initial, boundary, collocation } = convection({ beta: 30 });
    expect([grid.x[3], grid.x[57], grid.x[255]]).toEqual([
      0x12d97c7f3321d2 / 2 ** 56,
      0x166243d70cb829 / 2 ** 52,
      0x1908d958efe8eb / 2 ** 50,
    ]);
    expect([grid.t[3 * 256], grid.t[57 * 256], grid.t[98 * 256]]).toEqual([
      0x1f07c1f07c1f08 / 2 ** 58,
      0x126c9b26c9b26d / 2 ** 53,
      0x1fad40a57eb503 / 2 ** 53,
    ]);
    expect(grid.t.at(-1)).toBe(1);
    expect(initial.u[10]).toBe(Math.sin(initial.x[10]!));
    expect([boundary.left.x[5], boundary.right.x[5], boundary.right.t[99]]).toEqual([0, 2 * Math.PI, 1]);
    // The first point drawn is 9622 = 37 x 255 + 187.
    expect([collocation.x[0], collocation.t[0]]).toEqual([grid.x[188], grid.t[38 * 256]]);
    expect(Math.min(...collocation.x)).toBeGreaterThan(0);
    expect(Math.min(...collocation.t)).toBeGreaterThan(0);
  });
  test('the solution solves the equation and its conditions', () => {
    const { grid, beta } = convection({ beta: 3, places: 64, times: 2001 });
    const at = (n: number, i: number) => grid.u[n * 64 + (i % 64)]!;
    const [dx, dt] = [(2 * Math.PI) / 64, 1 / 2000];
    for (const [n, i] of [
      [1, 5],
      [700, 33],
      [1999, 62],
    ] as const) {
      const ut = (at(n + 1, i) - at(n - 1, i)) / (2 * dt);
      const ux = (8 * (at(n, i + 1) - at(n, i + 63)) - (at(n, i + 2) - at(n, i + 62))) / (12 * dx);
      expect(Math.abs(ut + beta * ux)).toBeLessThan(2e-5);
    }
  });
  test('errors of a prediction', () => {
    const { grid } = convection({ places: 4, times: 2 });
    expect(convectionErrors(grid, grid.u)).toEqual({ relativeL2: 0, meanAbsolute: 0, largest: 0 });
    expect(
      convectionErrors(
        grid,
        grid.u.map((u) => 2 * u),
      ).relativeL2,
    ).toBeCloseTo(1, 12);
    const off = grid.u.map((u, k) => (k === 3 ? u + 0.8 : u));
    expect(convectionErrors(grid, off).largest).toBeCloseTo(0.8, 12);
    expect(convectionErrors(grid, off).meanAbsolute).toBeCloseTo(0.1, 12);
    expect(
      convectionErrors(
        grid,
        grid.u.map(() => NaN),
      ).largest,
    ).toBeNaN();
    expect(() => convectionErrors(grid, [1])).toThrow(code('INVALID_ARGUMENT'));
  });
  test.each([
    { beta: NaN },
    { places: 1 },
    { times: 2 ** 25 },
    { collocation: 255 * 99 + 1 },
    { seed: -1 },
    { speed: 1 },
  ])('%o is refused', (options) => expect(() => convection(options)).toThrow(code('INVALID_ARGUMENT')));
});
