/** Numbers and strings as pickles write them: text of Python 2 and 3, and two's complement. */
import type { PickleFail } from './pickleValue.js';

/** Bytes or characters of an integer. */
export const maxDigits = 1024;
const maxShown = 256;

const integer = (value: bigint): number | bigint => {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

export function parseInt(text: string, fail: PickleFail): number | bigint | boolean {
  if (text === '00' || text === '01') return text === '01';
  if (!/^[+-]?\d+$/.test(text)) throw fail(`'${printable(text)}' is no integer`);
  return integer(BigInt(text.replace('+', '')));
}

export function parseLong(text: string, fail: PickleFail): number | bigint | boolean {
  return parseInt(text.replace(/L$/, '').replace(/^0+(?=\d)/, ''), fail);
}

export function parseFloat(text: string, fail: PickleFail): number {
  const special: Record<string, number> = { inf: Infinity, '-inf': -Infinity, nan: NaN };
  if (Object.hasOwn(special, text)) return special[text]!;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) throw fail(`'${printable(text)}' is no number`);
  return Number(text);
}

/** Two's complement. */
export function littleEndian(bytes: Uint8Array): number | bigint {
  let value = 0n;
  for (const byte of bytes.toReversed()) value = value * 256n + BigInt(byte);
  return integer(BigInt.asIntN(8 * bytes.length, value));
}

export function longLength(length: number, fail: PickleFail): number {
  if (length < 0 || length > maxDigits) throw fail(`an integer of ${length} bytes`, 'LIMIT_EXCEEDED');
  return length;
}

export function byteLength(length: number, fail: PickleFail): number {
  if (length < 0) throw fail(`a length of ${length}`);
  return length;
}

const escapes: Record<string, string> = { '\\': '\\', "'": "'", '"': '"', n: '\n', r: '\r', t: '\t' };

/** The bytes that Python 2's repr of a str stands for. */
export function unquote(text: string, fail: PickleFail): Uint8Array {
  const quote = text[0];
  if (text.length < 2 || (quote !== "'" && quote !== '"') || text.at(-1) !== quote)
    throw fail('a string without quotes');
  const unescaped = text.slice(1, -1).replace(/\\(x[0-9a-fA-F]{2}|[^]|$)/g, (_, escape: string) => {
    if (escape.length === 3) return String.fromCharCode(Number(`0${escape}`));
    if (!Object.hasOwn(escapes, escape)) throw fail(`the unknown escape \\${printable(escape)}`);
    return escapes[escape]!;
  });
  return new Uint8Array(Buffer.from(unescaped, 'latin1'));
}

/** Python's raw-unicode-escape. */
export function rawUnicode(text: string, fail: PickleFail): string {
  return text.replace(/\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/g, (_, short?: string, long?: string) => {
    const code = Number(`0x${short ?? long}`);
    if (code > 0x10ffff) throw fail(`the unknown character U+${code.toString(16)}`);
    return String.fromCodePoint(code);
  });
}

/** At most a line of ASCII, for errors. */
export function printable(text: string): string {
  return text.slice(0, maxShown).replace(/[^ -~]/g, '?');
}
