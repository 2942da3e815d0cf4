/** The endpoint of the workers. */
export const ENDPOINT = { namespace: 'demo', component: 'backend', endpoint: 'generate' };

/** Tokens per block. */
export const BLOCK_SIZE = 16;
