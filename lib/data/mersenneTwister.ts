/**
 * NumPy's legacy random numbers (MT19937; Matsumoto, Nishimura 1998), for data that were drawn with them: whoever wants
 * the same points must draw the same numbers. Random numbers of this package's own come from Philox, in native code.
 */

const N = 624;
const M = 397;
const [UPPER, LOWER] = [0x80000000, 0x7fffffff];
const TWIST = 0x9908b0df;

/** @internal */
export class MersenneTwister {
  readonly #state = new Uint32Array(N);
  #next = N;

  /** As `numpy.random.seed(seed)` for an integer below 2^32. */
  constructor(seed: number) {
    let word = seed >>> 0;
    for (let i = 0; i < N; i++) {
      this.#state[i] = word;
      word = (Math.imul(1812433253, word ^ (word >>> 30)) + i + 1) >>> 0;
    }
  }

  /** 32 random bits. */
  uint32(): number {
    if (this.#next === N) this.#twist();
    let y = this.#state[this.#next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const s = this.#state;
    for (let i = 0; i < N; i++) {
      const y = (s[i]! & UPPER) | (s[(i + 1) % N]! & LOWER);
      s[i] = s[(i + M) % N]! ^ (y >>> 1) ^ (y & 1 ? TWIST : 0);
    }
    this.#next = 0;
  }

  /** An integer from 0 to `max`, by rejection under a mask of ones, as NumPy's `random_interval`. */
  below(max: number): number {
    if (max === 0) return 0;
    const mask = 2 ** (32 - Math.clz32(max)) - 1;
    for (;;) {
      const value = (this.uint32() & mask) >>> 0;
      if (value <= max) return value;
    }
  }

  /** As `numpy.random.choice(count, size, replace=False)`: the first ones of a permutation. */
  choice(count: number, size: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.below(i);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order.slice(0, size);
  }
}
