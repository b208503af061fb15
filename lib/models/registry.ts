/** The models of this package by name; a new one is a file beside this and a row here. */
import { cnn } from './cnn.js';
import { gpt2 } from './gpt2.js';
import { mlp } from './mlp.js';
import type { Model } from './model.js';
import { resnet, type ResNetOptions } from './resnet.js';
import { vit } from './vit.js';

/** What every ResNet of the registry is given. */
export interface ModelOptions {
  width: number;
  input: readonly [channels: number, height: number, width: number];
  classes: number;
  /** Default `cifar`. */
  stem?: ResNetOptions['stem'];
}

/**
 * Models by name.
 *
 * @example
 * ```ts
 * import { models } from 'ptmz-native';
 * const model = models.resnet18({ width: 8, input: [1, 28, 28], classes: 10 });
 * ```
 */
export const models = {
  /** {@link resnet} of depth 18. */
  resnet18: (options: ModelOptions): Model => resnet({ depth: 18, ...options }),
  /** {@link resnet} of depth 34. */
  resnet34: (options: ModelOptions): Model => resnet({ depth: 34, ...options }),
  /** {@link resnet} of depth 50. */
  resnet50: (options: ModelOptions): Model => resnet({ depth: 50, ...options }),
  /** {@link vit}. */
  vit,
  /** {@link mlp}. */
  mlp,
  /** {@link cnn}. */
  cnn,
  /** {@link gpt2}. */
  gpt2,
} as const;
