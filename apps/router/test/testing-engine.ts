/** An engine's event socket that tells of blocks as vLLM does; for tests. */
import { ScriptedPublisher } from '@dynamo-ts/engine-events/testing';
import { encodePayload } from '@dynamo-ts/runtime';

/** Tokens per block of the engine. */
export const ENGINE_BLOCK_SIZE = 16;

/** Token ids from 1 on. */
export function tokens(count: number): number[] {
  return Array.from({ length: count }, (_, at) => at + 1);
}

/** One rank's publisher. */
export class TestEngine implements AsyncDisposable {
  readonly publisher: ScriptedPublisher;
  #sequence = 0n;

  private constructor(publisher: ScriptedPublisher) {
    this.publisher = publisher;
  }

  /** Listens on free ports. */
  static async start(): Promise<TestEngine> {
    return new TestEngine(await ScriptedPublisher.start());
  }

  /** Consecutive blocks that hold `tokenIds` can be reused. */
  async store(
    hashes: readonly number[],
    tokenIds: readonly number[],
    options: { parent?: number; medium?: string } = {},
  ): Promise<void> {
    const { parent = null, medium = 'GPU' } = options;
    await this.#publish(['BlockStored', hashes, parent, tokenIds, ENGINE_BLOCK_SIZE, null, medium]);
  }

  /** Blocks were given up. */
  async remove(hashes: readonly number[]): Promise<void> {
    await this.#publish(['BlockRemoved', hashes, 'GPU']);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.publisher.close();
  }

  async #publish(event: readonly unknown[]): Promise<void> {
    const payload = encodePayload([0, [event], 0]);
    await this.publisher.publish({ sequence: this.#sequence, payload });
    this.#sequence += 1n;
  }
}
