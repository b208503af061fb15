/** Measures of the loss landscape around trained models. */
export {
  hessianEigenvalues,
  type EigenvalueMethod,
  type EigenvalueProgress,
  type HessianEigenvalues,
  type HessianEigenvaluesOptions,
  type SpectrumEnd,
} from './eigenvalues.js';
export { hessianTrace, hvp, type HessianTrace, type HessianTraceOptions, type TraceProgress } from './hessian.js';
export type { SampleOptions } from './options.js';
export { hessianSpectrum, type HessianSpectrumOptions, type Spectrum, type SpectrumProgress } from './spectrum.js';
