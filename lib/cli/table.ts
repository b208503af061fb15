/** Texts for people: tables with columns padded to their widest cell, aligned pairs, numbers, counts, durations. */

/** One column: its heading and how a row's value is written. */
export interface Column<Row> {
  heading: string;
  cell(row: Row): string;
}

/** The rows as lines of text. */
export function formatTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const lines = [
    columns.map((column) => column.heading),
    ...rows.map((row) => columns.map((column) => column.cell(row))),
  ];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padStart(widths[i]!))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

/** Lines of `name  value`, the values aligned, each behind `indent`. */
export function alignPairs(pairs: readonly (readonly [name: string, value: string])[], indent = ''): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  const next = `\n${indent}${' '.repeat(width + 2)}`;
  return pairs.map(([name, value]) => `${indent}${name.padEnd(width)}  ${value.replaceAll('\n', next)}`).join('\n');
}

/** A number in `digits` significant digits, `-` where there is none. */
export function formatNumber(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '-';
  const size = Math.abs(value);
  if (size !== 0 && (size >= 10 ** (digits + 2) || size < 10 ** -digits)) return value.toExponential(digits - 1);
  return size >= 10 ** (digits - 1) ? value.toFixed(0) : value.toPrecision(digits);
}

/** A few numbers as they are, of many the smallest and the largest. */
export function formatList(values: readonly number[]): string {
  const texts = values.map((value) => formatNumber(value, 3));
  if (values.length <= 4) return texts.join(' ');
  const known = values.filter((value) => !Number.isNaN(value));
  const [low, high] = [Math.min(...known), Math.max(...known)];
  return known.length === 0 ? '-' : `${formatNumber(low, 3)} to ${formatNumber(high, 3)}`;
}

/** `1 seed`, `4,000 images`. */
export function formatCount(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

/** 0.8734 as `87.3 %`. */
export function formatPercent(value: number | null | undefined): string {
  return value === null || value === undefined || Number.isNaN(value) ? '-' : `${(100 * value).toFixed(1)} %`;
}

/** Seconds as `7 s`, `1 min 05 s` or `2 h 03 min`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const whole = Math.round(seconds);
  const pair = (big: number, bigUnit: string, small: number, smallUnit: string) =>
    `${big} ${bigUnit} ${String(small).padStart(2, '0')} ${smallUnit}`;
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(Math.floor(whole / 60), 'min', whole % 60, 's');
  return pair(Math.floor(whole / 3600), 'h', Math.floor((whole % 3600) / 60), 'min');
}

/** Bytes as `512 B`, `1.50 MB` or `2.30 GB`, by powers of 1,000. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return '?';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${formatNumber(power === 0 ? Math.round(bytes) : bytes / 1000 ** power, 3)} ${units[power]}`;
}
