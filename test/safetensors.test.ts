/** The safetensors reader and writer: round trips, and files that must be refused by name. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readSafetensors, writeSafetensors, type StoredTensor } from '../lib/index.js';

const directory = mkdtempSync(join(tmpdir(), 'ptmz-safetensors-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A file with this header text, `data` bytes, and (unless given) the true length of the header. */
function file(header: string, data: number, length?: bigint): string {
  const text = Buffer.from(header);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length ?? BigInt(text.length));
  const path = join(directory, 'case.safetensors');
  writeFileSync(path, Buffer.concat([size, text, Buffer.alloc(data)]));
  return path;
}

const tensor = (name: string, dtype: unknown, shape: unknown, offsets: unknown) =>
  JSON.stringify({ [name]: { dtype, shape, data_offsets: offsets } });

describe('safetensors', () => {
  test('what is written is read again, in order, and nothing else is left behind', () => {
    const path = join(directory, 'round.safetensors');
    const tensors = new Map<string, StoredTensor>([
      ['z', { dtype: 'F64', shape: [2, 1], data: Float64Array.of(1.5, -Infinity) }],
      ['empty', { dtype: 'I32', shape: [0, 3], data: new Int32Array(0) }],
      ['a', { dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) }],
      ['__proto__', { dtype: 'I64', shape: [], data: BigInt64Array.of(-7n) }],
    ]);
    writeSafetensors(path, tensors);
    expect([...readSafetensors(path)]).toEqual([...tensors]);
    expect(readdirSync(directory).filter((name) => name.startsWith('round'))).toEqual(['round.safetensors']);
    expect(({} as Record<string, unknown>).dtype).toBeUndefined();
  });

  test.each<[string, () => string]>([
    ['a header longer than the file', () => file('{}', 0, 1000n)],
    ['an absurd header length', () => file('{}', 0, 2n ** 63n)],
    ['no JSON', () => file('{"a":', 0)],
    ['an array', () => file('[]', 0)],
    ['an entry that is null', () => file('{"a":null}', 0)],
    ['an unknown dtype', () => file(tensor('a', 'F8', [1], [0, 1]), 1)],
    ['a dtype of the prototype', () => file(tensor('a', 'toString', [1], [0, 1]), 1)],
    ['a negative size', () => file(tensor('a', 'U8', [-1], [0, 1]), 1)],
    ['a fractional size', () => file(tensor('a', 'U8', [1.5], [0, 1]), 1)],
    ['a product that overflows', () => file(tensor('a', 'U8', [2 ** 40, 2 ** 40], [0, 1]), 1)],
    ['a shape that does not fit the bytes', () => file(tensor('a', 'F32', [2], [0, 4]), 4)],
    ['offsets beyond the file', () => file(tensor('a', 'F32', [2], [0, 8]), 4)],
    ['bytes left over', () => file(tensor('a', 'U8', [1], [0, 1]), 2)],
    ['a gap', () => file(tensor('a', 'U8', [1], [1, 2]), 2)],
    [
      'an overlap',
      () =>
        file(
          JSON.stringify({
            a: { dtype: 'U8', shape: [2], data_offsets: [0, 2] },
            b: { dtype: 'U8', shape: [2], data_offsets: [1, 3] },
          }),
          3,
        ),
    ],
  ])('DATA_MALFORMED: %s', (_, make) => {
    const path = make();
    expect(() => readSafetensors(path)).toThrow(
      expect.objectContaining({ code: 'DATA_MALFORMED', message: expect.stringContaining(path) as string }),
    );
  });

  test('a file shorter than a length', () => {
    const path = join(directory, 'short.safetensors');
    writeFileSync(path, 'abc');
    expect(() => readSafetensors(path)).toThrow(expect.objectContaining({ code: 'DATA_MALFORMED' }));
  });

  test('no such file, no such folder', () => {
    const missing = join(directory, 'none', 'a.safetensors');
    expect(() => readSafetensors(missing)).toThrow(expect.objectContaining({ code: 'IO_ERROR' }));
    expect(() => writeSafetensors(missing, new Map())).toThrow(expect.objectContaining({ code: 'IO_ERROR' }));
  });

  test('data that do not fit their shape or dtype are not written', () => {
    const write = (stored: StoredTensor) => () => writeSafetensors(join(directory, 'x'), new Map([['a', stored]]));
    const refused = expect.objectContaining({ code: 'INVALID_ARGUMENT' }) as Error;
    expect(write({ dtype: 'F32', shape: [2], data: Float32Array.of(1) })).toThrow(refused);
    expect(write({ dtype: 'F32', shape: [1], data: Float64Array.of(1) })).toThrow(refused);
  });
});
