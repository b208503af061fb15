/** Models as graph builders. */
export { cnn, type CNNOptions } from './cnn.js';
export { gpt2, type GPT2Options, type LanguageModel } from './gpt2.js';
export { burgersEquation, convectionEquation, reactionEquation, type EquationOptions } from './equations.js';
export { mlp, type MLPOptions } from './mlp.js';
export type { Model } from './model.js';
export type { SmallActivation } from './moduleList.js';
export { derivative, field, points, type FieldOptions, type Problem, type ProblemLoss } from './problem.js';
export { models, type ModelOptions } from './registry.js';
export type { Trainable } from './trainable.js';
export { vit, type ViTOptions } from './vit.js';
export { resnet, type ResNetOptions } from './resnet.js';
