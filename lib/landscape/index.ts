/** Measures of the loss landscape around trained models. */
export {
  hessianTrace,
  hvp,
  type HessianTrace,
  type HessianTraceOptions,
  type SampleOptions,
  type TraceProgress,
} from './hessian.js';
