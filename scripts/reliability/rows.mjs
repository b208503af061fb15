/** The rows of the table: every file of this folder named after one, such as d1-kill.mjs. */
import { readdirSync } from 'node:fs';

/**
 * @typedef {object} Context
 * @property {number} trials
 * @property {(fraction: number, details: string) => void} report how much is done
 *
 * @typedef {object} Outcome
 * @property {boolean} passed
 * @property {string} figures
 *
 * @typedef {object} Row
 * @property {string} id several rows may share one
 * @property {string} fault what is done to the library
 * @property {{ full: number, quick: number }} trials
 * @property {() => string | undefined} [unavailable] why it cannot run here
 * @property {(context: Context) => Promise<Outcome>} run
 */

/** All rows, in the order of their ids. @returns {Promise<Row[]>} */
export async function loadRows() {
  const files = readdirSync(new URL('.', import.meta.url)).filter((file) => /^[a-z]\d+-.*\.mjs$/.test(file));
  files.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  return Promise.all(files.map(async (file) => (await import(new URL(file, import.meta.url).href)).default));
}
