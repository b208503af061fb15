/** Models as graph builders. */
export type { Model } from './model.js';
export { models, type ModelOptions } from './registry.js';
export { resnet, type ResNetOptions } from './resnet.js';
