/** Writer of pickles of protocol 2, the one that PyTorch writes and its safe reader reads. */
import { invalidArgument, PtmzError } from '../errors.js';

const maxDepth = 200;
const largest = 2 ** 31;

/** Bytes that grow. */
class Output {
  #bytes = new Uint8Array(1024);
  #length = 0;

  write(bytes: Uint8Array): void {
    while (this.#length + bytes.length > this.#bytes.length) this.#bytes = grown(this.#bytes);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }
  result(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

function grown(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(2 * bytes.length);
  larger.set(bytes);
  return larger;
}

/** Writes opcodes; what a value of another kind becomes is up to `special`. @internal */
export class PickleWriter {
  readonly #out = new Output();
  #depth = 0;

  /** @param special writes a value that is none of Python's own, and returns whether it did */
  constructor(readonly special: (value: object, where: string) => boolean) {
    this.#code(0x80, 2);
  }

  /** Ends the pickle. */
  finish(): Uint8Array {
    this.op('.');
    return this.#out.result();
  }

  op(code: string): this {
    return this.#code(code.charCodeAt(0));
  }

  /** A name in a module, to be called or to be mentioned. */
  global(module: string, name: string): this {
    return this.op('c').#bytes(Buffer.from(`${module}\n${name}\n`));
  }

  /** `name(...args)` */
  call(module: string, name: string, args: () => void): this {
    this.global(module, name).op('(');
    args();
    return this.op('t').op('R');
  }

  /** @param where the value stands, for errors */
  value(value: unknown, where = 'value'): this {
    if (value === null) return this.op('N');
    if (typeof value === 'boolean') return this.#code(value ? 0x88 : 0x89);
    if (typeof value === 'bigint') return this.#integer(value);
    if (typeof value === 'number') return this.#number(value);
    if (typeof value === 'string') return this.#text(value, where);
    if (typeof value !== 'object') throw invalidArgument(where, 'numbers, strings, tensors, lists or dicts', value);
    if (++this.#depth > maxDepth)
      throw new PtmzError('INVALID_ARGUMENT', `Expected at most ${maxDepth} levels for ${where}; does it hold itself?`);
    this.#object(value, where);
    this.#depth--;
    return this;
  }

  tuple(values: readonly unknown[], where = 'value'): this {
    this.op('(');
    for (const value of values) this.value(value, where);
    return this.op('t');
  }

  #object(value: object, where: string): void {
    if (this.special(value, where)) return;
    if (Array.isArray(value)) this.#list(value, where);
    else if (value instanceof Map) this.#dict(value, where);
    else if (value instanceof Uint8Array) this.#binary(value);
    else if ([Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null))
      this.#dict(Object.entries(value), where);
    else throw invalidArgument(where, 'numbers, strings, tensors, lists or dicts', value);
  }

  #list(items: readonly unknown[], where: string): void {
    this.op(']').op('(');
    items.forEach((item, i) => this.value(item, `${where}[${i}]`));
    this.op('e');
  }

  #dict(entries: Iterable<readonly [unknown, unknown]>, where: string): void {
    this.op('}').op('(');
    for (const [key, item] of entries) {
      if (typeof key === 'object' && key !== null)
        throw invalidArgument(`a key of ${where}`, 'a string, number or boolean', key);
      this.value(key, where).value(item, `${where}['${String(key)}']`);
    }
    this.op('u');
  }

  #text(text: string, where: string): this {
    if (/\p{Surrogate}/u.test(text)) throw invalidArgument(where, 'Unicode text', text);
    const bytes = Buffer.from(text);
    return this.op('X').#uint32(bytes.length).#bytes(bytes);
  }

  /** As Python 3 does it in this protocol: as a call that encodes text. */
  #binary(bytes: Uint8Array): void {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    this.call('_codecs', 'encode', () => this.value(text).value('latin1'));
  }

  #number(value: number): this {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return this.#integer(BigInt(value));
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    return this.op('G').#bytes(bytes);
  }

  #integer(value: bigint): this {
    if (value >= -largest && value < largest) {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32LE(Number(value));
      return this.op('J').#bytes(bytes);
    }
    const bytes: number[] = [];
    for (let rest = value; ; rest >>= 8n) {
      bytes.push(Number(BigInt.asUintN(8, rest)));
      // The last byte must hold the sign.
      if (rest === BigInt.asIntN(8, rest)) break;
    }
    if (bytes.length > 255) throw invalidArgument('value', 'an integer of at most 255 bytes', value);
    return this.#code(0x8a, bytes.length).#bytes(Uint8Array.from(bytes));
  }

  #uint32(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return this.#bytes(bytes);
  }
  #code(...codes: number[]): this {
    return this.#bytes(Uint8Array.from(codes));
  }
  #bytes(bytes: Uint8Array): this {
    this.#out.write(bytes);
    return this;
  }
}
