/** What a real vLLM 0.32 sent: blocks of 32 tokens, 17 stores and 8 removals in 20 frames. */
import { readFileSync } from 'node:fs';

import { LocalKvIndexer } from '@dynamo-ts/kv';
import type { LocalKvIndexerOptions } from '@dynamo-ts/kv';

/** Tokens per block of the recording. */
export const RECORDED_BLOCK_SIZE = 32;

/** A frame of the recording. */
export interface RecordedFrame {
  readonly sequence: bigint;
  readonly payload: Uint8Array;
}

const FILE = new URL(
  '../../../native/crates/kv/tests/fixtures/vllm-0.32-kv-events.jsonl',
  import.meta.url,
);

/** The frames in the order in which they were sent. */
export function recordedFrames(): readonly RecordedFrame[] {
  return readFileSync(FILE, 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const { frames } = JSON.parse(line) as { readonly frames: readonly string[] };
      const [, sequence = '', payload = ''] = frames;
      return { sequence: BigInt(`0x${sequence}`), payload: Buffer.from(payload, 'hex') };
    });
}

/** How many blocks an engine holds that has sent these frames and no others. */
export async function blocksAfter(frames: readonly RecordedFrame[]): Promise<number> {
  await using index = new LocalKvIndexer({
    workerId: 1n as LocalKvIndexerOptions['workerId'],
    epoch: 1n,
    blockSize: RECORDED_BLOCK_SIZE,
    dpStart: 0,
  });
  for (const { payload, sequence } of frames) index.acceptFrame(0, sequence, payload);
  while (index.flush() !== undefined);
  return index.stats().blocks;
}
