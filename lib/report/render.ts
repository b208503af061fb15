/** Rendering of figures: a Vega-Lite specification to SVG, and SVG to PNG, by optional packages. */
import { fileURLToPath } from 'node:url';
import { checkNumber, checkObject, checkString, PtmzError } from '../errors.js';
import { loadPeer } from '../peer.js';
import type { VegaLiteSpec } from './phaseFigure.js';

/** The few functions of the packages that are used; the packages themselves may not be there. */
interface Vega {
  parse(spec: unknown): unknown;
  View: new (
    runtime: unknown,
    options: { renderer: 'none'; logLevel: number },
  ) => {
    toSVG(): Promise<string>;
    finalize(): void;
  };
  Error: number;
}
interface VegaLite {
  compile(spec: unknown): { spec: unknown };
}
interface Resvg {
  Resvg: new (svg: string, options: object) => { render(): { asPng(): Uint8Array } };
}

/**
 * Draws a figure as SVG.
 *
 * @throws PtmzError `MISSING_PEER` where the optional packages vega and vega-lite are not installed; `INVALID_ARGUMENT`
 * where the specification is none
 * @example
 * ```ts no-run
 * import { phaseFigure, phasePanels, renderSvg } from 'ptmz-native';
 * const cells = [{ width: 2, 'batch size': 16, 'test accuracy': 0.84 }];
 * const svg = await renderSvg(phaseFigure(cells, { panels: phasePanels.slice(0, 1) }));
 * ```
 */
export async function renderSvg(spec: VegaLiteSpec): Promise<string> {
  checkObject('spec', spec);
  const { compile } = await loadPeer<VegaLite>('vega-lite', 'renderSvg');
  const vega = await loadPeer<Vega>('vega', 'renderSvg');
  try {
    const view = new vega.View(vega.parse(compile(spec).spec), { renderer: 'none', logLevel: vega.Error });
    try {
      return await view.toSVG();
    } finally {
      view.finalize();
    }
  } catch (cause) {
    throw new PtmzError('INVALID_ARGUMENT', `spec: Vega cannot draw it: ${(cause as Error).message}`, { cause });
  }
}

// The same relative path from lib/report and from dist/report: the package holds both folders.
const fonts = ['Inter-Regular.ttf', 'Inter-SemiBold.ttf'].map((name) =>
  fileURLToPath(new URL(`../../lib/report/assets/${name}`, import.meta.url)),
);

/**
 * Draws an SVG as PNG, with the fonts of this package alone: the picture is the same on every machine.
 *
 * @throws PtmzError `MISSING_PEER` where the optional package @resvg/resvg-js is not installed; `INVALID_ARGUMENT` where
 * the text is no SVG
 * @example
 * ```ts no-run
 * import { renderPng } from 'ptmz-native';
 * const square = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>';
 * const png = await renderPng(square, { scale: 2 });
 * ```
 */
export async function renderPng(svg: string, options: { scale?: number } = {}): Promise<Uint8Array> {
  checkString('svg', svg);
  checkObject('options', options, ['scale']);
  const scale = checkNumber('scale', options.scale ?? 2, 0.1, 16);
  const { Resvg } = await loadPeer<Resvg>('@resvg/resvg-js', 'renderPng');
  try {
    return new Resvg(svg, {
      fitTo: { mode: 'zoom', value: scale },
      font: { loadSystemFonts: false, fontFiles: fonts, defaultFontFamily: 'Inter' },
    })
      .render()
      .asPng();
  } catch (cause) {
    throw new PtmzError('INVALID_ARGUMENT', `svg: it cannot be drawn: ${(cause as Error).message}`, { cause });
  }
}
