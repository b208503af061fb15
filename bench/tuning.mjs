// What npm run tune tries: the numbers of native/backend/cpu/tuning.h and their candidates.

export const levels = ['avx512', 'avx2', 'portable'];

/** What is tried together: each candidate sets numbers of tuning.h; `perLevel` ones are chosen for every SIMD level alone. */
export const sizes = {
  channels: { perLevel: true, candidates: [4, 5, 6, 8].map((kChannels) => ({ kChannels })) },
  tile: {
    perLevel: true,
    candidates: [
      { kOutputs: 4, kInputs: 2 },
      { kOutputs: 4, kInputs: 4 },
      { kOutputs: 4, kInputs: 6 },
      { kOutputs: 6, kInputs: 4 },
    ],
  },
  window: { candidates: [192, 384, 768].map((k) => ({ kWindowBytes: k * 1024 })) },
  pixels: { candidates: [32, 64, 96].map((k) => ({ kTileBytes: k * 1024 })) },
  accumulators: { candidates: [128, 256, 512].map((k) => ({ kAccumulatorBytes: k * 1024 })) },
  planes: { candidates: [4, 8, 16].map((kFewPlanes) => ({ kFewPlanes })) },
};
const capitalised = { avx512: 'Avx512', avx2: 'Avx2', portable: 'Portable' };

/** The numbers of tuning.h that a candidate of a size sets for a level. */
export const numbersOf = (size, candidate, level) =>
  sizes[size].perLevel
    ? Object.fromEntries(Object.entries(candidate).map(([name, value]) => [`${name}${capitalised[level]}`, value]))
    : candidate;

/** The header's text with these numbers in it. */
export function withNumbers(text, numbers) {
  return Object.entries(numbers).reduce((current, [name, value]) => {
    const place = new RegExp(`(constexpr \\w+ ${name} = )\\d+;`);
    if (!place.test(current)) throw new Error(`tuning.h has no ${name}`);
    return current.replace(place, `$1${value};`);
  }, text);
}

export const numberIn = (text, name) => Number(new RegExp(`constexpr \\w+ ${name} = (\\d+);`).exec(text)?.[1]);
