/**
 * StrictJson: the JSON of file headers, read without trust. JSON.parse takes the last of two equal keys, rounds integers
 * above 2^53 and recurses as deep as the file says; this refuses all three, and says at which byte.
 */

/** What a header may hold: whole numbers, text, lists and objects. */
export type StrictJson = number | string | null | boolean | StrictJson[] | Map<string, StrictJson>;

/** Where and why reading stopped; `duplicate` for a key that stands twice. */
export class StrictJsonError extends Error {
  constructor(
    message: string,
    readonly byte: number,
    readonly duplicate = false,
  ) {
    super(message);
  }
}

const deepest = 8;
const [tab, newline, carriageReturn, space] = [9, 10, 13, 32];
const [quote, comma, minus, colon, backslash] = [34, 44, 45, 58, 92];
const [openBracket, closeBracket, openBrace, closeBrace] = [91, 93, 123, 125];
const [zero, nine] = [48, 57];
const words = { true: true, false: false, null: null } as const;

class Reader {
  #at = 0;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  constructor(readonly bytes: Uint8Array) {}

  read(): StrictJson {
    const value = this.#value(1);
    this.#blanks();
    if (this.#at < this.bytes.length) throw this.#unexpected('the end');
    return value;
  }

  #unexpected(expected: string): StrictJsonError {
    const byte = this.bytes[this.#at];
    const found = byte === undefined ? 'the end' : `byte 0x${byte.toString(16).padStart(2, '0')}`;
    return new StrictJsonError(`expected ${expected}, found ${found}`, this.#at);
  }

  #blanks(): void {
    for (;;) {
      const byte = this.bytes[this.#at];
      if (byte !== space && byte !== newline && byte !== carriageReturn && byte !== tab) return;
      this.#at++;
    }
  }

  /** Steps over the byte if it comes next. */
  #skip(byte: number): boolean {
    this.#blanks();
    if (this.bytes[this.#at] !== byte) return false;
    this.#at++;
    return true;
  }

  #value(depth: number): StrictJson {
    this.#blanks();
    if (depth > deepest) throw new StrictJsonError(`nested deeper than ${deepest} levels`, this.#at);
    const byte = this.bytes[this.#at];
    if (byte === openBrace) return this.#object(depth);
    if (byte === openBracket) return this.#array(depth);
    if (byte === quote) return this.#string();
    if (byte !== undefined && (byte === minus || (byte >= zero && byte <= nine))) return this.#integer();
    for (const [word, value] of Object.entries(words)) {
      if (this.#text(this.#at, this.#at + word.length) !== word) continue;
      this.#at += word.length;
      return value;
    }
    throw this.#unexpected('a value');
  }

  #object(depth: number): Map<string, StrictJson> {
    const object = new Map<string, StrictJson>();
    this.#at++;
    if (this.#skip(closeBrace)) return object;
    do {
      this.#blanks();
      const start = this.#at;
      if (this.bytes[start] !== quote) throw this.#unexpected('a name');
      const key = this.#string();
      if (object.has(key)) throw new StrictJsonError(`the name ${JSON.stringify(key)} stands twice`, start, true);
      if (!this.#skip(colon)) throw this.#unexpected("':'");
      object.set(key, this.#value(depth + 1));
    } while (this.#skip(comma));
    if (!this.#skip(closeBrace)) throw this.#unexpected("',' or '}'");
    return object;
  }

  #array(depth: number): StrictJson[] {
    const list: StrictJson[] = [];
    this.#at++;
    if (this.#skip(closeBracket)) return list;
    do list.push(this.#value(depth + 1));
    while (this.#skip(comma));
    if (!this.#skip(closeBracket)) throw this.#unexpected("',' or ']'");
    return list;
  }

  #integer(): number {
    const start = this.#at;
    while (/[-+.\deE]/.test(String.fromCharCode(this.bytes[this.#at] ?? 0))) this.#at++;
    const text = this.#text(start, this.#at);
    if (!/^-?(0|[1-9]\d*)$/.test(text)) throw new StrictJsonError(`${text.slice(0, 40)} is no whole number`, start);
    const value = Number(text);
    if (!Number.isSafeInteger(value)) throw new StrictJsonError(`${text.slice(0, 40)} is above 2^53`, start);
    return value;
  }

  #string(): string {
    const start = this.#at++;
    let escaped = false;
    for (; this.bytes[this.#at] !== quote; this.#at++) {
      const byte = this.bytes[this.#at];
      if (byte === undefined || byte < space) throw this.#unexpected('the end of a text');
      if (byte !== backslash) continue;
      escaped = true;
      this.#at++;
    }
    this.#at++;
    try {
      const text = this.#decoder.decode(this.bytes.subarray(start + 1, this.#at - 1));
      // JSON.parse knows the escapes; a text alone holds none of its traps but half a surrogate pair.
      const value = escaped ? (JSON.parse(`"${text}"`) as string) : text;
      if (/\p{Surrogate}/u.test(value)) throw new Error('half a surrogate pair');
      return value;
    } catch (error) {
      throw new StrictJsonError(`a text that is not Unicode (${(error as Error).message})`, start);
    }
  }

  #text(from: number, to: number): string {
    return String.fromCharCode(...this.bytes.subarray(from, Math.min(to, from + 64)));
  }
}

/**
 * Parses a header. Integers must be exact, names unique (after their escapes are resolved), nesting at most 8 deep.
 *
 * @throws StrictJsonError with the byte, counted from the beginning of `bytes`
 * @internal
 */
export function parseStrictJson(bytes: Uint8Array): StrictJson {
  return new Reader(bytes).read();
}
