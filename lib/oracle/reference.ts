/** Reference: what a model case expects - whole vectors, or digests of those that are not stored. */
import { PtmzError } from '../errors.js';
import type { StoredTensor } from '../formats/storedTensor.js';
import { rademacher } from './hash.js';
import type { ModelCase } from './manifest.js';
import { numbers, type Check } from './ops.js';

/** Length, projections on vectors of random signs, and some elements of a vector. */
export interface Digest {
  l2: number;
  proj: number[];
  idx: number[];
  val: number[];
}

type Numbers = ArrayLike<number>;

/** ||a - reference|| / ||reference||. */
export function distance(a: Numbers, reference: Numbers): number {
  if (a.length !== reference.length) return Infinity;
  let [difference, scale] = [0, 0];
  for (let i = 0; i < a.length; ++i) {
    difference += (a[i]! - reference[i]!) ** 2;
    scale += reference[i]! ** 2;
  }
  const result = Math.sqrt(difference / (scale || 1));
  return Number.isNaN(result) ? Infinity : result;
}

/** Compares tensors of a case by name and keeps the results. */
export class Reference {
  readonly checks: Check[] = [];
  readonly #signs = new Map<string, Float32Array>();

  constructor(
    private readonly c: ModelCase,
    private readonly tensors: Map<string, StoredTensor>,
    private readonly digests: Record<string, Digest>,
  ) {}

  /** Whether the case holds this tensor, whole or as a digest. */
  has(tensor: string): boolean {
    return this.tensors.has(`f64.${tensor}`) || tensor in this.digests;
  }

  /** Compares a tensor, in the oracle's order, with what was stored of it. */
  check(tensor: string, dtype: 'float64' | 'float32', own: Numbers): Check {
    const tolerance = this.c.tol[dtype === 'float64' ? 'f64' : 'f32'][tensor];
    if (tolerance === undefined) throw new PtmzError('DATA_MALFORMED', `${tensor} has no tolerance`);
    const check = { tensor, program: dtype, error: this.error(tensor, own), tolerance };
    this.checks.push(check);
    return check;
  }

  /** How far a tensor lies from what was stored of it, relatively. */
  error(tensor: string, own: Numbers): number {
    const stored = this.tensors.get(`f64.${tensor}`);
    return stored ? distance(own, numbers(stored, tensor)) : this.#digestError(tensor, own);
  }

  /** In units of the tolerance: a projection may miss by 4 tol l2, an element by tol l2. */
  #digestError(tensor: string, own: Numbers): number {
    const digest = this.digests[tensor];
    if (!digest) throw new PtmzError('DATA_MALFORMED', `${tensor} is neither stored nor digested`);
    const errors = digest.proj.map((expected, j) => {
      const name = `digest.p${j}:${this.c.id}/${tensor}`;
      const signs = this.#signs.get(name) ?? rademacher(this.c.seed, name, own.length);
      this.#signs.set(name, signs);
      let sum = 0;
      for (let i = 0; i < own.length; ++i) sum += signs[i]! * own[i]!;
      return Math.abs(sum - expected) / (4 * digest.l2);
    });
    errors.push(...digest.idx.map((at, i) => Math.abs(own[at]! - digest.val[i]!) / digest.l2));
    return errors.reduce((worst, error) => (error <= worst ? worst : Number.isNaN(error) ? Infinity : error), 0);
  }
}
