/** The measures of the landscape by name: what each takes, what it costs and what it gives; a new one is a row here. */
import { checkOneOf, unexpected } from '../errors.js';
import type { Split } from '../data/split.js';
import type { Run } from '../train/run.js';
import { hessianEigenvalues, type HessianEigenvaluesOptions, type SpectrumEnd } from './eigenvalues.js';
import { hessianTrace, type HessianTraceOptions } from './hessian.js';
import type { SampleOptions } from './options.js';
import { hessianSpectrum } from './spectrum.js';

/** What can be asked of metrics; one takes {@link SampleOptions}, `seed`, `onProgress` and those that its row names. */
export interface MetricOptions extends SampleOptions {
  /** Another seed gives other random vectors. */
  seed?: number;
  /** Random vectors of the trace. */
  probes?: number;
  /** Random vectors of the spectrum. */
  runs?: number;
  /** Eigenvalues. */
  top?: number;
  which?: SpectrumEnd;
  /** Hessian-vector products at most. */
  steps?: number;
  method?: string;
  onProgress?: (progress: { fraction: number; eta: number }) => void;
}

type OwnOption = Exclude<keyof MetricOptions, keyof SampleOptions | 'seed' | 'onProgress'>;

/** One number per member, with its standard error or whether it is near enough, where that is known. */
export interface MetricColumn {
  heading: string;
  values: readonly number[];
  errors?: readonly number[];
  converged?: readonly boolean[];
}

/** What a metric gives: columns of a table, and all that is known of each member, fit for JSON. */
export interface Measurement {
  columns: MetricColumn[];
  members: object[];
}

interface Metric {
  description: string;
  /** Its own options with their values where none are given; undefined leaves one to the function. */
  defaults: { readonly [Name in OwnOption]?: MetricOptions[Name] };
  /** The values of `method`, where it has one. */
  methods?: readonly string[];
  /** Hessian-vector products of a member, at most. */
  products(run: Run, options: MetricOptions): number;
  measure(run: Run, data: Split, options: MetricOptions): Promise<Measurement>;
}

/** `both` lists the largest ones, then the smallest. */
function eigenvalueName(index: number, { which, count = 1 }: HessianEigenvaluesOptions): string {
  if (which !== 'both') return `eigenvalue ${index + 1}`;
  return index < count ? `largest ${index + 1}` : `smallest ${index - count + 1}`;
}

/** All metrics by name. @internal */
export const metrics = {
  trace: {
    description: 'trace of the Hessian, by random sign vectors (Hutchinson)',
    defaults: { probes: 100, method: 'hutchinson' },
    methods: ['hutchinson', 'pyhessian'],
    products: (_, { probes }) => probes!,
    async measure(run, data, options) {
      const { trace, standardError, samples } = await hessianTrace(run, data, options as HessianTraceOptions);
      return {
        columns: [{ heading: 'Hessian trace', values: trace, errors: standardError }],
        members: trace.map((value, m) => ({ trace: value, standardError: standardError[m], samples: samples[m] })),
      };
    },
  },
  eigenvalues: {
    description: 'extreme eigenvalues of the Hessian, by Lanczos or power iteration',
    defaults: { top: 1, which: undefined, steps: undefined, method: 'lanczos' },
    methods: ['lanczos', 'power', 'pyhessian'],
    // Power iterations have the steps for every eigenvalue.
    products: ({ parameterCount }, { method, top, steps = Math.max(100, top!) }) =>
      method === 'lanczos' ? Math.min(steps, parameterCount) : top! * steps,
    async measure(run, data, { top, ...rest }) {
      const options = { count: top, ...rest } as HessianEigenvaluesOptions;
      const found = await hessianEigenvalues(run, data, options);
      const { eigenvalues, residuals, converged, iterations } = found;
      const columns = eigenvalues[0]!.map((_, i) => ({
        heading: eigenvalueName(i, options),
        values: eigenvalues.map((values) => values[i]!),
        converged: converged.map((flags) => flags[i]!),
      }));
      const members = eigenvalues.map((values, m) => ({
        eigenvalues: values,
        ...{ residuals: residuals[m], converged: converged[m], iterations: iterations[m] },
      }));
      return { columns, members };
    },
  },
  spectrum: {
    description: 'density of all eigenvalues of the Hessian, by stochastic Lanczos quadrature',
    defaults: { runs: 1, steps: 100 },
    products: ({ parameterCount }, { runs, steps }) => runs! * Math.min(steps!, parameterCount),
    async measure(run, data, options) {
      const members = await hessianSpectrum(run, data, options);
      const nodes = members.map((spectrum) => spectrum.nodes.flat());
      const extreme = (best: (a: number, b: number) => number) =>
        nodes.map((values) => values.reduce((a, b) => best(a, b)));
      const columns = [
        { heading: 'spectrum from', values: extreme(Math.min) },
        { heading: 'to', values: extreme(Math.max) },
        { heading: 'mean', values: members.map(({ moments }) => moments[0]!) },
        { heading: 'mean square', values: members.map(({ moments }) => moments[1]!) },
      ];
      return { columns, members };
    },
  },
} satisfies Record<string, Metric> as Readonly<Record<string, Metric>>;

const ownOptions = [...new Set(Object.values(metrics).flatMap((metric) => Object.keys(metric.defaults)))];

/** Whether a metric can do something with an option of this value. */
function takes(metric: Metric, option: string, value: unknown): boolean {
  if (!(option in metric.defaults)) return false;
  return option !== 'method' || (metric.methods ?? []).includes(value as string);
}

/**
 * The options of each of some metrics: of those given, what it takes; of the others, its defaults.
 *
 * @throws PtmzError `INVALID_ARGUMENT` for a name that is not in the table, and for an option that none of them takes
 * @internal
 */
export function chooseMetrics(names: readonly string[], given: MetricOptions): Map<string, MetricOptions> {
  names.forEach((name) => checkOneOf('metric', name, Object.keys(metrics)));
  const options = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [option, value] of options) {
    if (!ownOptions.includes(option) || names.some((name) => takes(metrics[name]!, option, value))) continue;
    const others = Object.keys(metrics).filter((name) => takes(metrics[name]!, option, value));
    const taken =
      others.length > 0
        ? `${others.join(' and ')} alone ${others.length > 1 ? 'take' : 'takes'} it`
        : 'no metric takes it';
    throw unexpected(option, `nothing for ${names.join(', ')}: ${taken}`, String(value));
  }
  return new Map(
    names.map((name) => {
      const metric = metrics[name]!;
      const own = options.filter(([option, value]) => !ownOptions.includes(option) || takes(metric, option, value));
      return [name, { ...metric.defaults, ...Object.fromEntries(own) }];
    }),
  );
}

/**
 * Throws what a measurement with these options would throw before it starts, and does no work.
 *
 * @throws PtmzError `INVALID_ARGUMENT`, `SHAPE_MISMATCH`, `BUSY`, `DISPOSED`
 * @internal
 */
export async function checkMetric(name: string, run: Run, data: Split, options: MetricOptions): Promise<void> {
  // Every measure looks at its signal after its options and before its work.
  const stop = new Error('checked');
  try {
    await metrics[name]!.measure(run, data, { ...options, signal: AbortSignal.abort(stop) });
  } catch (error) {
    if (error !== stop) throw error;
  }
}
