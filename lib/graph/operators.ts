/** All operators on values as functions, in one place for Value's methods and the composites of lib/nn. */
export * from './elementwise.js';
export * from './indexing.js';
export * from './layout.js';
export * from './matmul.js';
export * from './reductions.js';
