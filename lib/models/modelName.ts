/** ModelName: the options of a network as its name, and back. A saved run knows its network by that name. */

/** How one option is written; what is as by default is left out. */
export interface NamePart {
  key: string;
  /** A regular expression with one group. */
  pattern: string;
  /** Undefined where it is as by default. */
  write(value: unknown): string | undefined;
  read(text: string): unknown;
  /** Whether it always stands in the name. */
  always: boolean;
}

const numeral = String.raw`\d+(?:\.\d+)?(?:e[+-]\d+)?`;

/** `d48` for 48, of the tag `d`. */
export const numberPart = (key: string, tag: string, standard?: number): NamePart => ({
  key,
  pattern: `${tag}(${numeral})`,
  write: (value) => (value === standard ? undefined : `${tag}${value as number}`),
  read: Number,
  always: standard === undefined,
});

/** `h30x15` for [30, 15], of the tag `h`. */
export const sizesPart = (key: string, tag: string, standard?: readonly number[]): NamePart => ({
  key,
  pattern: `${tag}(\\d+(?:x\\d+)*)`,
  write: (value) => (String(value) === String(standard) ? undefined : `${tag}${(value as number[]).join('x')}`),
  read: (text) => text.split('x').map(Number),
  always: standard === undefined,
});

/** One of some words that stand for themselves. */
export const choicePart = (key: string, choices: readonly string[], standard?: string): NamePart => ({
  key,
  pattern: `(${choices.join('|')})`,
  write: (value) => (value === standard ? undefined : (value as string)),
  read: (text) => text,
  always: standard === undefined,
});

/** `nobias` for false; of an option that is true by default. */
export const withoutPart = (key: string, word: string): NamePart => ({
  key,
  pattern: `(${word})`,
  write: (value) => (value === false ? word : undefined),
  read: () => false,
  always: false,
});

/** The names of one kind of network, such as `vit-d48-p4-l6-h3-gelu`. */
export class ModelName<Options extends object> {
  readonly #pattern: RegExp;

  constructor(
    readonly kind: string,
    readonly parts: readonly NamePart[],
  ) {
    const patterns = parts.map(({ pattern, always }) => (always ? `-${pattern}` : `(?:-${pattern})?`));
    this.#pattern = new RegExp(`^${kind}${patterns.join('')}$`);
  }

  format(options: Options): string {
    const words = this.parts.map(({ key, write }) => write(options[key as keyof Options]));
    return [this.kind, ...words.filter((word) => word !== undefined)].join('-');
  }

  /** The options that a name says, or undefined for a name of another kind. */
  parse(name: string): Partial<Options> | undefined {
    const match = this.#pattern.exec(name);
    if (!match) return undefined;
    const entries = this.parts.flatMap(({ key, read }, i) => {
      const text = match[i + 1];
      return text === undefined ? [] : [[key, read(text)] as const];
    });
    return Object.fromEntries(entries) as Partial<Options>;
  }
}
