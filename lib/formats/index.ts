/** Files of tensors: their readers and writers. */
export { castFloats, type FloatType } from './floatBits.js';
export { readNpy, writeNpy, type WriteNpyOptions } from './npy.js';
export { readSafetensors, readSafetensorsMetadata, writeSafetensors } from './safetensors.js';
export {
  readStateDict,
  writeStateDict,
  type StateDictInput,
  type StateFormat,
  type WriteStateDictOptions,
} from './stateDict.js';
export type { NamedTensor, StoredTensor, TensorArray, TensorDType } from './storedTensor.js';
export { readTorch } from './torchFile.js';
export type { TorchInput, TorchKey, TorchValue } from './torchValue.js';
export { writeTorch, type WriteTorchOptions } from './torchWriter.js';
