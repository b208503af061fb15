/** Figures: what a specification holds, how it looks when it is drawn, and what is refused. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, test, vi } from 'vitest';
import { digits, phaseFigure, phasePanels, PtmzError, renderPng, renderSvg, type PhaseCell } from '../lib/index.js';
import { loadPeer } from '../lib/peer.js';
import { runZoo } from '../lib/zoo/runner.js';
import { ZooStore } from '../lib/zoo/store.js';

const cell = (width: number, batch: number, accuracy: number | null): PhaseCell => ({
  width,
  'batch size': batch,
  'test accuracy': accuracy,
});
// Not in order, and 16 before 8 as text.
const cells = [cell(16, 256, 0.5), cell(8, 64, 0.75), cell(16, 64, 0.9), cell(8, 256, null)];
const panels = phasePanels.slice(0, 1);
const options = { panels, title: 'Zoo <1> & 2', subtitle: ['first line', 'second line'] };

/** What goes wrong. */
const failure = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error as PtmzError,
  );

/** Texts of an SVG in the order from top to bottom, then from left to right. */
function texts(svg: string): string[] {
  // Vega nests groups; the numbers of one mark are compared, so their offsets cancel.
  return [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text!);
}

/** The rectangles with a value: their description, place and colour. */
function rectangles(svg: string) {
  const paths = [...svg.matchAll(/<path aria-label="([^"]*)"[^>]*d="M([\d.]+),([\d.]+)[^"]*"[^>]*fill="([^"]*)"/g)];
  return paths.flatMap(([, label, x, y, fill]) => {
    const place = /width: (\d+); batch size: (\d+); test accuracy: ([\d.]+)/.exec(label!);
    return place ? [{ width: Number(place[1]), batch: Number(place[2]), x: Number(x), y: Number(y), fill }] : [];
  });
}

/** Red, green and blue of a CSS colour. */
function rgb(colour: string): number[] {
  const hex = /^#(..)(..)(..)$/.exec(colour);
  return hex ? hex.slice(1).map((part) => parseInt(part, 16)) : colour.match(/\d+/g)!.map(Number);
}

describe('drawn', async () => {
  const svg = await renderSvg(phaseFigure(cells, options));

  test('small loads are on the left, small temperatures on top', () => {
    const found = rectangles(svg);
    expect(found).toHaveLength(3);
    const at = (width: number, batch: number) => found.find((r) => r.width === width && r.batch === batch)!;
    expect(at(8, 64).x).toBeLessThan(at(16, 64).x);
    expect(at(8, 64).y).toBe(at(16, 64).y);
    expect(at(16, 64).y).toBeLessThan(at(16, 256).y);
    expect(at(16, 64).x).toBe(at(16, 256).x);
  });

  test('the best is yellow and the worst violet: the ends of viridis', () => {
    const colour = (width: number, batch: number) =>
      rgb(rectangles(svg).find((r) => r.width === width && r.batch === batch)!.fill!);
    // matplotlib: viridis(0) = #440154, viridis(1) = #fde725.
    expect(colour(16, 64)).toEqual([0xfd, 0xe7, 0x25]);
    expect(colour(16, 256)).toEqual([0x44, 0x01, 0x54]);
  });

  test('numbers, names and titles are text', () => {
    const all = texts(svg);
    const expected = [
      '90.0%',
      '75.0%',
      '50.0%',
      '\u2013',
      'width',
      'batch size',
      'Test accuracy',
      'Zoo &lt;1&gt; &amp; 2',
    ];
    expect(all).toEqual(expect.arrayContaining(expected));
    for (const label of ['8', '16', '64', '256']) expect(all.filter((text) => text === label)).toHaveLength(1);
    expect(svg).toMatch(/first line[^]*second line/);
  });

  test('every number has more contrast in its colour than in the other', async () => {
    // The relative luminance of WCAG 2.
    const luminance = (colour: string) => {
      const [r, g, b] = rgb(colour).map((c) => (c <= 10 ? c / 3294 : ((c / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
    };
    const contrast = (a: string, b: string) => {
      const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
      return (high! + 0.05) / (low! + 0.05);
    };
    const row = Array.from({ length: 21 }, (_, i) => cell(i, 1, i / 20));
    for (const scheme of ['viridis', 'viridis reversed', 'red-blue', 'red-blue reversed'] as const) {
      const drawn = await renderSvg(phaseFigure(row, { panels: [{ ...panels[0]!, scheme }] }));
      for (const { width, fill } of rectangles(drawn)) {
        const number = new RegExp(`<text aria-label="width: ${width};[^>]*fill="([^"]*)"`).exec(drawn)![1]!;
        const other = number === '#ffffff' ? '#1f2328' : '#ffffff';
        // A twentieth of the map is as fine as the thresholds are.
        expect(contrast(number, fill!) * 1.1).toBeGreaterThan(contrast(other, fill!));
      }
    }
  });

  test('the PNG has the colours, the letters and the size', async () => {
    const png = await renderPng(svg);
    expect([...png.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    const { data, info } = await sharp(png).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    const [, width, height] = /<svg[^>]* width="([\d.]+)" height="([\d.]+)"/.exec(svg)!;
    expect([info.width, info.height]).toEqual([2 * Number(width), 2 * Number(height)]);
    const counts = new Map<number, number>();
    for (let i = 0; i < data.length; i += 3)
      counts.set(data.readUIntBE(i, 3), (counts.get(data.readUIntBE(i, 3)) ?? 0) + 1);
    // A cell of 64 x 64 at scale 2, less its gap and its number.
    for (const colour of [0xfde725, 0x440154]) expect(counts.get(colour)).toBeGreaterThan(100 * 100);
    // Ink of the letters; and of the titles above the cells, where nothing else is dark.
    expect(counts.get(0x1f2328)).toBeGreaterThan(500);
    expect(counts.get(0xffffff)).toBeGreaterThan(info.width * info.height * 0.2);
    const small = await sharp(await renderPng(svg, { scale: 1 })).metadata();
    expect(small.width).toBe(Number(width));
    expect(Buffer.compare(png, await renderPng(svg))).toBe(0);
  });
});

test('default panels: accuracy, loss and trace, the axis of rows once', async () => {
  const full = [16, 64].map((batch, i) => ({
    width: 2,
    'batch size': batch,
    'test accuracy': 0.5 + i / 10,
    'train loss': 1,
    'log10 trace': 2 - i,
  }));
  const svg = await renderSvg(phaseFigure(full));
  const all = texts(svg);
  expect(all).toEqual(expect.arrayContaining(['Test accuracy', 'Train loss', '60.0%', '1.000', '2.00']));
  expect(all.filter((text) => text === '64')).toHaveLength(1);
  expect(all.filter((text) => text === 'width')).toHaveLength(3);
});

test('names with dots and quotes are names', async () => {
  const panel = { field: "it's [a].b", title: 'Odd', scheme: 'red-blue', format: '.1f' } as const;
  const odd = [{ 'x.y': 1, t: 2, "it's [a].b": 3.25 }];
  const svg = await renderSvg(phaseFigure(odd, { panels: [panel], load: 'x.y', temperature: 't' }));
  expect(texts(svg)).toEqual(expect.arrayContaining(['3.3', 'x.y', 't']));
});

test.each([
  ['no cell', [], {}, /cells/],
  ['a place twice', [cell(2, 16, 1), cell(2, 16, 2)], {}, /cells\[1\].*width 2, batch size 16/],
  ['a value that is not there', [{ width: 2, 'batch size': 16 }], {}, /cells\[0\]\['test accuracy'\].*undefined/],
  ['NaN', [cell(2, 16, NaN)], {}, /number or null for cells\[0\]\['test accuracy'\].*NaN/],
  ['a place that is not there', [{ width: 2, 'test accuracy': 1 }], {}, /cells\[0\]\['batch size'\]/],
  ['no panel', cells, { panels: [] }, /panels/],
  ['an empty title', cells, { title: '' }, /title/],
  ['a subtitle of numbers', cells, { subtitle: [1 as unknown as string] }, /subtitle\[0\]/],
  ['an unknown option', cells, { titel: 'x' }, /titel/],
])('%s is refused', (_, given, more, message) => {
  const work = () => phaseFigure(given as PhaseCell[], { panels, ...more });
  expect(work).toThrow(PtmzError);
  expect(work).toThrow(message);
});

test('what cannot be drawn is refused', async () => {
  const spec = { $schema: 'x', mark: 'no such mark' };
  expect(await failure(renderSvg(spec))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect(await failure(renderPng('no svg'))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect(await failure(renderPng('<svg/>', { scale: 0 }))).toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('a missing package is named, with what to do', async () => {
  const cause = new Error("Cannot find package 'vega'\nmore");
  const error = await failure(loadPeer('vega', 'renderSvg', () => Promise.reject(cause)));
  expect(error).toMatchObject({ code: 'MISSING_PEER', cause });
  expect(error!.message).toMatch(/renderSvg needs the package vega.*Cannot find package 'vega'$/);
  expect(error!.hint).toBe('npm install vega vega-lite @resvg/resvg-js');
});

test('without the packages a zoo still has its specification', async () => {
  vi.doMock('../lib/report/render.js', () => ({
    renderSvg: () =>
      Promise.reject(new PtmzError('MISSING_PEER', 'renderSvg needs vega', { hint: 'npm install vega' })),
    renderPng: () => Promise.reject(new Error('not reached')),
  }));
  const { writePhaseFigure } = await import('../lib/cli/zooReport.js');
  let messages = '';
  const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((messages += text), true));
  const directory = mkdtempSync(join(tmpdir(), 'ptmz-report-'));
  const data = await digits({ train: 20, test: 10 });
  const hessian = { samples: 10, probes: 2, steps: 2, tolerance: 0.1 };
  const store = new ZooStore(directory, {
    ...{ widths: [1], batchSizes: [10], seeds: [0], epochs: 1, lr: 0.1, data, hessian },
  });
  await runZoo(store);
  await writePhaseFigure(store);
  stderr.mockRestore();
  expect(messages).toMatch(/warning: no picture of the figure: renderSvg needs vega\n {2}npm install vega\n/);
  expect(readdirSync(directory).filter((name) => name.startsWith('phases'))).toEqual(['phases.vl.json']);
  expect(JSON.parse(readFileSync(join(directory, 'phases.vl.json'), 'utf8'))).toMatchObject({ title: {} });
  rmSync(directory, { recursive: true });
});
