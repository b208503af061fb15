// Nominal work of a training step of a transformer, counted from its layers.

/** Multiply-adds of the layers of one sequence: 12 dim^2 of products per token, and scores and their use. */
const layers = ({ dim, depth }, time, seen) => depth * (12 * time * dim ** 2 + 2 * time * seen * dim);

/**
 * FLOPs of a training step of a vision transformer with a class token: forward, data gradient and weight gradient of
 * every product, 2 FLOPs a multiply-add; the images have no gradient. Everything else counts as nothing.
 */
export function vitFlops({ dim, depth, patch, side, channels = 3, classes = 10 }, batch) {
  const patches = (side / patch) ** 2;
  const time = patches + 1;
  const embedding = patches * channels * patch ** 2 * dim;
  return 2 * batch * (3 * (layers({ dim, depth }, time, time) + dim * classes) + 2 * embedding);
}

/** The same of a GPT-2 with a tied head; of attention, half: what lies behind a token is not seen. */
export function gpt2Flops({ dim, depth, vocab, block }, batch) {
  return 6 * batch * (layers({ dim, depth }, block, (block + 1) / 2) + block * dim * vocab);
}
