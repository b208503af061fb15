/** Writer of zip archives as torch.save makes them: entries are stored, and their bytes begin at multiples of 64. */
import { crc32 } from 'node:zlib';
import { PtmzError } from '../errors.js';

/** Where the bytes of entries begin; PyTorch maps them into memory. */
export const zipAlignment = 64;
// Beyond it all sizes would need 64 bits.
const maxBytes = 2 ** 32 - 1;
const maxEntries = 2 ** 16 - 1;
const [localLength, centralLength, endLength] = [30, 46, 22];
const extraHeader = 4;
// PyTorch's id of an extra field that holds nothing but padding.
const paddingId = 0x4246;
const version = 20;
const utf8 = 0x0800;
/** 1 January 1980, midnight: the first date there is. */
const date = 0x0021;

/**
 * The bytes of an archive, in pieces: the contents are not copied. Equal entries give equal bytes.
 *
 * @param path for errors
 * @throws PtmzError `LIMIT_EXCEEDED` beyond 4 GiB or 65,535 entries
 * @internal
 */
export function formatZip(entries: ReadonlyMap<string, Uint8Array>, path: string): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const directory: Buffer[] = [];
  let position = 0;
  for (const [name, bytes] of entries) {
    const encoded = Buffer.from(name);
    const unpadded = position + localLength + encoded.length + extraHeader;
    const padding = (zipAlignment - (unpadded % zipAlignment)) % zipAlignment;
    if (unpadded + padding + bytes.length > maxBytes)
      throw new PtmzError('LIMIT_EXCEEDED', `${path}: archives are written up to ${maxBytes} bytes`, {
        hint: 'A safetensors file has no such limit.',
      });
    const facts = factsOf(encoded.length, bytes);
    pieces.push(localHeader(facts, encoded, padding), bytes);
    directory.push(centralHeader(facts, encoded, position));
    position = unpadded + padding + bytes.length;
  }
  if (directory.length > maxEntries)
    throw new PtmzError('LIMIT_EXCEEDED', `${path}: ${directory.length} entries; archives have up to ${maxEntries}`);
  const central = Buffer.concat(directory);
  return [...pieces, central, end(directory.length, central.length, position)];
}

/** What both headers of an entry say alike: version to length of the name. */
function factsOf(nameLength: number, bytes: Uint8Array): Buffer {
  const facts = Buffer.alloc(24);
  facts.writeUInt16LE(version, 0);
  facts.writeUInt16LE(utf8, 2);
  facts.writeUInt16LE(date, 8);
  facts.writeUInt32LE(crc32(bytes), 10);
  facts.writeUInt32LE(bytes.length, 14);
  facts.writeUInt32LE(bytes.length, 18);
  facts.writeUInt16LE(nameLength, 22);
  return facts;
}

function localHeader(facts: Buffer, name: Buffer, padding: number): Buffer {
  const header = Buffer.alloc(localLength + name.length + extraHeader + padding, 'Z');
  header.write('PK\x03\x04', 'latin1');
  facts.copy(header, 4);
  header.writeUInt16LE(extraHeader + padding, 28);
  name.copy(header, localLength);
  header.writeUInt16LE(paddingId, localLength + name.length);
  header.writeUInt16LE(padding, localLength + name.length + 2);
  return header;
}

function centralHeader(facts: Buffer, name: Buffer, position: number): Buffer {
  const header = Buffer.alloc(centralLength + name.length);
  header.write('PK\x01\x02', 'latin1');
  header.writeUInt16LE(version, 4);
  facts.copy(header, 6);
  header.writeUInt32LE(position, 42);
  name.copy(header, centralLength);
  return header;
}

function end(count: number, length: number, position: number): Buffer {
  const record = Buffer.alloc(endLength);
  record.write('PK\x05\x06', 'latin1');
  record.writeUInt16LE(count, 8);
  record.writeUInt16LE(count, 10);
  record.writeUInt32LE(length, 12);
  record.writeUInt32LE(position, 16);
  return record;
}
