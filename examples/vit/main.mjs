/**
 * Vision transformers of one size as a population: three learning rates on handwritten digits, and the trace of the
 * Hessian of each.
 *
 * Run it in a checkout after `npm run bootstrap`: node examples/vit/main.mjs
 */
import { digits, hessianTrace, trainViT } from 'ptmz-native';

const data = await digits({ train: 600, test: 300 });
const rates = [0.0002, 0.002, 0.006];
const run = await trainViT({
  ...{ dim: 24, depth: 2, heads: 3, patch: 2, activation: 'gelu' },
  ...{ data, batchSize: 50, epochs: 6, seeds: [0, 0, 0], lr: rates },
});
for (const { epoch, trainLoss, testAccuracy } of run.history)
  console.log(
    `epoch ${epoch}: ` +
      rates
        .map((lr, m) => `lr ${lr}: loss ${trainLoss[m].toFixed(3)}, accuracy ${testAccuracy[m].toFixed(3)}`)
        .join('; '),
  );
const { trace, standardError } = await hessianTrace(run, data.train, { samples: 100, probes: 8 });
console.log(`trace: ${trace.map((value, m) => `${value.toFixed(0)} +- ${standardError[m].toFixed(0)}`).join('; ')}`);
run.dispose();
