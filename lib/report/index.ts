/** Figures. */
export {
  phaseFigure,
  phasePanels,
  type PhaseCell,
  type PhaseFigureOptions,
  type PhasePanel,
  type VegaLiteSpec,
} from './phaseFigure.js';
export { renderPng, renderSvg } from './render.js';
export type { Scheme } from './scheme.js';
