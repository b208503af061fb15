/** Scheme: the colour maps of figures, the range that they span, and the colour of a number on top of them. */

/** Viridis is dark at the low end; red-blue is red at the low end and white in the middle. */
export type Scheme = 'viridis' | 'viridis reversed' | 'red-blue' | 'red-blue reversed';

/** The values at the ends of a colour map. */
export interface Range {
  low: number;
  high: number;
}

/** The range of the values that are there; never empty, so that a single value has a colour. */
export function rangeOf(values: readonly (number | null)[]): Range {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return { low: 0, high: 1 };
  const low = Math.min(...known);
  const high = Math.max(...known);
  if (low < high) return { low, high };
  const margin = Math.max(Math.abs(low) / 10, 1e-6);
  return { low: low - margin, high: high + margin };
}

/**
 * A Vega expression that is true where a cell is so dark that its number has to be white.
 *
 * @param value an expression for the cell's number
 */
export function labelColour(scheme: Scheme, value: string, { low, high }: Range): string {
  const at = (part: number) => low + part * (high - low);
  // White has more contrast than ink where the relative luminance (WCAG 2) of the map is below 0.21.
  const dark = {
    viridis: `${value} < ${at(0.48)}`,
    'viridis reversed': `${value} > ${at(0.52)}`,
    'red-blue': `${value} < ${at(0.14)} || ${value} > ${at(0.86)}`,
    'red-blue reversed': `${value} < ${at(0.14)} || ${value} > ${at(0.86)}`,
  };
  return `isValid(${value}) && (${dark[scheme]})`;
}
