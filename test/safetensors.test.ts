/** The safetensors reader and writer: round trips, and files that must be refused by name. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readSafetensors, readSafetensorsMetadata, writeSafetensors, type StoredTensor } from '../lib/index.js';
import { runFileCase } from '../lib/oracle/files.js';

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

/** A file whose header is these bytes. */
function broken(header: Buffer): string {
  const path = file('', 0);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(path, Buffer.concat([size, header]));
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
      ['10', { dtype: 'F32', shape: [1], data: Float32Array.of(1) }],
      ['9 "quoted\\ \u00e9\u{1f600}\n', { dtype: 'F32', shape: [1], data: Float32Array.of(2) }],
    ]);
    writeSafetensors(path, tensors, { format: 'pt', '': '{}' });
    expect([...readSafetensorsMetadata(path)].sort()).toEqual([
      ['', '{}'],
      ['format', 'pt'],
    ]);
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
    ['a negative size', () => file(tensor('a', 'U8', [-1], [0, 1]), 1)],
    ['a fractional size', () => file(tensor('a', 'U8', [1.5], [0, 1]), 1)],
    ['a product that overflows', () => file(tensor('a', 'U8', [2 ** 40, 2 ** 40], [0, 1]), 1)],
    ['a shape that does not fit the bytes', () => file(tensor('a', 'F32', [2], [0, 4]), 4)],
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
    ['no brace at the beginning', () => file(' {}', 0)],
    ['something after the header', () => file('{} x', 0)],
    ['offsets as 1.6e1', () => file('{"a":{"dtype":"U8","shape":[16],"data_offsets":[0,1.6e1]}}', 16)],
    ['an integer above 2^53', () => file('{"a":{"dtype":"U8","shape":[0,9007199254740993],"data_offsets":[0,0]}}', 0)],
    ['leading zeros', () => file('{"a":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}', 1)],
    ['a control character in a name', () => file('{"a\n":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1)],
    ['half a surrogate pair', () => file('{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1)],
    ['an escape that is none', () => file('{"\\x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1)],
    ['a text without an end', () => file('{"a', 0)],
    ['a comma too many', () => file('{"a":{"dtype":"U8","shape":[1,],"data_offsets":[0,1]}}', 1)],
    ['a missing colon', () => file('{"a" 1}', 0)],
    ['a missing comma', () => file('{"a":1 "b":2}', 0)],
    ['words that are none', () => file('{"a":nul}', 0)],
    ['metadata that are numbers', () => file('{"__metadata__":{"a":1}}', 0)],
    ['deep nesting', () => file(`{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, 0)],
    ['bytes that are not UTF-8', () => broken(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))],
  ])('SAFETENSORS_MALFORMED, naming file and byte: %s', (_, make) => {
    const path = make();
    expect(() => readSafetensors(path)).toThrow(
      expect.objectContaining({
        code: 'SAFETENSORS_MALFORMED',
        message: expect.stringMatching(/case\.safetensors, byte \d+: /) as string,
      }),
    );
  });

  const one = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}';
  test.each<[string, string, () => string]>([
    ['DUPLICATE_KEY', 'the same name', () => file(`{"a":${one},"a":${one}}`, 1)],
    ['DUPLICATE_KEY', 'the same name by escape', () => file(`{"a":${one},"\\u0061":${one}}`, 1)],
    ['DUPLICATE_KEY', '__proto__ twice', () => file(`{"__proto__":${one},"__proto__":${one}}`, 1)],
    ['DUPLICATE_KEY', 'a field', () => file('{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1)],
    ['UNSUPPORTED_DTYPE', 'of another version', () => file(tensor('a', 'F8_E8M0', [1], [0, 1]), 1)],
    ['UNSUPPORTED_DTYPE', 'of the prototype', () => file(tensor('a', 'toString', [1], [0, 1]), 1)],
    ['TRUNCATED', 'data that are cut', () => file(tensor('a', 'F32', [2], [0, 8]), 4)],
  ])('%s: %s', (code, _, make) => {
    const path = make();
    expect(() => readSafetensors(path)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(path) as string }),
    );
  });

  test('the judge of the oracle sees wrong values, loads that must fail and failures that must load', () => {
    const folder = join(directory, 'files', 'safetensors');
    mkdirSync(folder, { recursive: true });
    const path = join(folder, 'case.safetensors');
    copyFileSync(file(tensor('a', 'U8', [1], [0, 1]), 1), path);
    const judge = (more: object) =>
      runFileCase({ file: 'files/safetensors/case.safetensors', kind: 'x', expect: 'load', ...more }, directory)
        .failure;
    expect(judge({ values: { a: [0] } })).toBeUndefined();
    expect(judge({ values: { a: [1] } })).toMatch(/'a' has other values/);
    expect(judge({ values: {} })).toMatch(/1 tensors/);
    expect(judge({ expect: 'typed_error' })).toMatch(/was loaded/);
    expect(judge({ expect: 'typed_error', accept_load: true })).toBeUndefined();
    writeFileSync(path, 'abc');
    expect(judge({ expect: 'typed_error' })).toBeUndefined();
    expect(judge({})).toMatch(/expected to load, got SAFETENSORS_MALFORMED/);
  });

  test('a file shorter than a length', () => {
    const path = join(directory, 'short.safetensors');
    writeFileSync(path, 'abc');
    expect(() => readSafetensors(path)).toThrow(expect.objectContaining({ code: 'SAFETENSORS_MALFORMED' }));
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
    expect(write({ dtype: 'F32', shape: [0.5, 2], data: Float32Array.of(1) })).toThrow(refused);
    const name = (name: string) => () =>
      writeSafetensors(join(directory, 'x'), new Map([[name, { dtype: 'U8', shape: [0], data: new Uint8Array() }]]));
    expect(name('__metadata__')).toThrow(refused);
    expect(name('\ud800')).toThrow(refused);
    expect(() => writeSafetensors(join(directory, 'x'), new Map(), { a: 1 as never })).toThrow(refused);
    expect(readdirSync(directory)).not.toContain('x');
  });
});
