/** Layers and losses as functions on values, all made of the graph's operators. */
export { gelu, leakyRelu, logSoftmax, relu, silu, softmax, softplus } from './activation.js';
export { attention, type AttentionOptions } from './attention.js';
export { conv2d, type Conv2dOptions, type Size2 } from './conv.js';
export { dropout } from './dropout.js';
export { embedding, linear } from './linear.js';
export { crossEntropy, mseLoss, type CrossEntropyOptions, type Reduction } from './loss.js';
export { multiHeadAttention } from './multiHead.js';
export { batchNorm, layerNorm, type BatchNormOptions, type LayerNormOptions } from './norm.js';
export { avgPool2d, globalAvgPool2d, maxPool2d, type AvgPoolOptions, type PoolOptions } from './pool.js';
