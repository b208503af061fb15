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
  // Where the relative luminance of the map falls below 0.3: there white has more contrast than dark ink.
  const dark = {
    viridis: `${value} < ${at(0.62)}`,
    'viridis reversed': `${value} > ${at(0.38)}`,
    'red-blue': `${value} < ${at(0.2)} || ${value} > ${at(0.8)}`,
    'red-blue reversed': `${value} < ${at(0.2)} || ${value} > ${at(0.8)}`,
  };
  return `isValid(${value}) && (${dark[scheme]})`;
}
