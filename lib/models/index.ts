/** Models as graph builders. */
export { gpt2, type GPT2Options, type LanguageModel } from './gpt2.js';
export type { Model } from './model.js';
export { models, type ModelOptions } from './registry.js';
export { resnet, type ResNetOptions } from './resnet.js';
