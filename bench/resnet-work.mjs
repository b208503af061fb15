// Nominal work of a ResNet of one width: multiply-adds and parameters, counted from the published layer table.

const stages = { 18: [2, 2, 2, 2], 50: [3, 4, 6, 3] };

/** Every convolution: channels in and out, kernel side, side of the map that it writes. */
function* convolutions(depth, width, side) {
  yield { into: 3, out: width, kernel: 3, side };
  let into = width;
  let map = side;
  for (const [stage, count] of stages[depth].entries()) {
    const planes = width << stage;
    const out = depth === 50 ? 4 * planes : planes;
    for (let i = 0; i < count; ++i) {
      const stride = stage > 0 && i === 0 ? 2 : 1;
      const read = map;
      map /= stride;
      if (depth === 50) {
        yield { into, out: planes, kernel: 1, side: read };
        yield { into: planes, out: planes, kernel: 3, side: map };
        yield { into: planes, out, kernel: 1, side: map };
      } else {
        yield { into, out: planes, kernel: 3, side: map };
        yield { into: planes, out: planes, kernel: 3, side: map };
      }
      if (stride !== 1 || into !== out) yield { into, out, kernel: 1, side: map };
      into = out;
    }
  }
}

/**
 * Counts for images of 3 x side x side with the 3x3 stem: `macs` multiply-adds of one image's forward pass, `stemMacs`
 * those of the first convolution, `parameters` of the whole network.
 */
export function resnetWork(depth, width, { side = 32, classes = 10 } = {}) {
  const layers = [...convolutions(depth, width, side)];
  const weights = (layer) => layer.into * layer.out * layer.kernel ** 2;
  const macs = (layer) => weights(layer) * layer.side ** 2;
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const features = 8 * width * (depth === 50 ? 4 : 1);
  return {
    macs: sum(layers.map(macs)) + features * classes,
    stemMacs: macs(layers[0]),
    parameters: sum(layers.map((layer) => weights(layer) + 2 * layer.out)) + (features + 1) * classes,
  };
}

/**
 * FLOPs of a training step: forward, data gradient and weight gradient of every layer, 2 FLOPs a multiply-add; the
 * image itself has no gradient. Padding counts as if it were data, the rest (batch norm, ReLU, SGD) as nothing.
 */
export function trainingFlops(depth, width, batch) {
  const { macs, stemMacs } = resnetWork(depth, width);
  return 2 * batch * (3 * macs - stemMacs);
}

/**
 * FLOPs of one Hessian-vector product among `probes` that share one forward and backward pass: every layer's forward
 * pass, data gradient and weight gradient have two terms each; the stem has one of the first, none, and one.
 */
export function hessianFlops(depth, width, images, probes) {
  const { macs, stemMacs } = resnetWork(depth, width);
  return 2 * images * (6 * macs - 4 * stemMacs + (2 * macs - stemMacs) / probes);
}
