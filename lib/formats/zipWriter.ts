/** Writer of zip archives as torch.save makes them: entries are stored, and their bytes begin at multiples of 64. */
import { zipSync, type Zippable } from 'fflate';
import { PtmzError } from '../errors.js';

/** Where the bytes of entries begin; PyTorch maps them into memory. */
export const zipAlignment = 64;
// fflate writes no zip64.
const maxBytes = 2 ** 32 - 1;
const localHeader = 30;
const extraHeader = 4;
// PyTorch's id of an extra field that holds nothing but padding.
const paddingId = 0x4246;

/**
 * The bytes of an archive; equal entries give equal bytes.
 *
 * @throws PtmzError `LIMIT_EXCEEDED` beyond 4 GiB
 * @internal
 */
export function formatZip(entries: ReadonlyMap<string, Uint8Array>, name: string): Uint8Array {
  const files: Zippable = {};
  let position = 0;
  for (const [entry, bytes] of entries) {
    const headers = localHeader + Buffer.byteLength(entry) + extraHeader;
    const padding = (zipAlignment - ((position + headers) % zipAlignment)) % zipAlignment;
    files[entry] = [
      bytes,
      { level: 0, mtime: new Date(1980, 0, 1), extra: { [paddingId]: new Uint8Array(padding).fill(0x5a) } },
    ];
    position += headers + padding + bytes.length;
  }
  if (position > maxBytes)
    throw new PtmzError('LIMIT_EXCEEDED', `${name}: ${position} bytes; archives are written up to ${maxBytes}`, {
      hint: 'A safetensors file has no such limit.',
    });
  return zipSync(files);
}
