/** A training that saves to a directory it may not write: `node unwritable.mjs DIRECTORY`. Prints {code, step} as JSON. */
import { start } from './checkpointed-training.mjs';

const [saveTo] = process.argv.slice(2);
const run = (await start()).run();
const code = await run.train({ saveTo }).then(
  () => 'none',
  (error) => error.code,
);
console.log(JSON.stringify({ code, step: run.step }));
