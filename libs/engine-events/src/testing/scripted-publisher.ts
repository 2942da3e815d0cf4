/** An engine's event sockets, played by a test: what is sent, kept, lost or repeated is the test's choice. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

import { Router, XPublisher } from 'zeromq';

import type { EventFrame } from '../event-frame.ts';

/** Settings of a {@link ScriptedPublisher}. */
export interface ScriptedPublisherOptions {
  readonly topic?: string;
  /** Whether replayed messages carry the topic, as vLLM's do since 0.32. @default true */
  readonly hasTopicInReplay?: boolean;
  /** Whether the replay socket answers. @default true */
  readonly answersReplays?: boolean;
}

/** First byte of a subscription; 0 ends one. */
const SUBSCRIBE = 1;

/** A publisher of events with a replay socket. */
export class ScriptedPublisher implements AsyncDisposable {
  readonly endpoint: string;
  readonly replayEndpoint: string;
  /** What the replay socket sends. */
  readonly kept: EventFrame[] = [];
  /** First frames that were asked for, in order. */
  readonly asked: bigint[] = [];
  readonly #options: ScriptedPublisherOptions;
  #publisher = new XPublisher({ linger: 0 });
  #router = new Router({ linger: 0 });
  #answering: Promise<void> = Promise.resolve();

  private constructor(options: ScriptedPublisherOptions, endpoint: string, replayEndpoint: string) {
    this.#options = options;
    this.endpoint = endpoint;
    this.replayEndpoint = replayEndpoint;
  }

  /** Listens on free ports. */
  static async start(options: ScriptedPublisherOptions = {}): Promise<ScriptedPublisher> {
    const publisher = new ScriptedPublisher(options, await freeAddress(), await freeAddress());
    await publisher.#listen();
    return publisher;
  }

  /** Connects to a subscriber that listens; there is no replay socket. */
  static connect(endpoint: string): ScriptedPublisher {
    const publisher = new ScriptedPublisher({}, endpoint, '');
    publisher.#publisher.connect(endpoint);
    return publisher;
  }

  /** Resolves when a subscriber has subscribed since the last call. */
  async subscribed(): Promise<void> {
    for (;;) {
      const [message] = await this.#publisher.receive();
      if (message?.[0] === SUBSCRIBE) return;
    }
  }

  /** Sends a frame and keeps it for replays. */
  async publish(frame: EventFrame): Promise<void> {
    this.kept.push(frame);
    await this.send(frame);
  }

  /** Sends a frame that replays do not know. */
  async send({ sequence, payload }: EventFrame): Promise<void> {
    await this.sendRaw([this.#topic, sequenceBytes(sequence), payload]);
  }

  /** Sends any message. */
  async sendRaw(parts: readonly (string | Uint8Array)[]): Promise<void> {
    await this.#publisher.send([...parts]);
  }

  /** Ends, forgets what it has kept, and begins again at the same addresses. */
  async restart(): Promise<void> {
    await this.close();
    this.kept.length = 0;
    this.#publisher = new XPublisher({ linger: 0 });
    this.#router = new Router({ linger: 0 });
    await this.#listen();
  }

  /** Ends as a killed engine does. Idempotent. */
  async close(): Promise<void> {
    this.#publisher.close();
    this.#router.close();
    await this.#answering;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #topic(): string {
    return this.#options.topic ?? 'kv-events';
  }

  async #listen(): Promise<void> {
    await this.#publisher.bind(this.endpoint);
    await this.#router.bind(this.replayEndpoint);
    const router = this.#router;
    this.#answering = this.#answer(router).catch((error: unknown) => {
      if (!router.closed) throw error;
    });
  }

  async #answer(router: Router): Promise<void> {
    const topics = (this.#options.hasTopicInReplay ?? true) ? [this.#topic] : [];
    for (;;) {
      const [client, , start] = await router.receive();
      if (client === undefined || start === undefined) continue;
      const from = start.readBigUInt64BE();
      this.asked.push(from);
      if (this.#options.answersReplays === false) continue;
      for (const { sequence, payload } of this.kept.filter((frame) => frame.sequence >= from)) {
        await router.send([client, '', ...topics, sequenceBytes(sequence), payload]);
      }
      const end = sequenceBytes(0xffff_ffff_ffff_ffffn);
      await router.send([client, '', ...topics.map(() => ''), end, '']);
    }
  }
}

function sequenceBytes(sequence: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(sequence);
  return bytes;
}

/** A loopback address that nobody uses. */
export async function freeAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server's address is one
  server.close();
  await once(server, 'close');
  return `tcp://127.0.0.1:${port}`;
}
