/** What every request-plane test stands on: a server process and a client process that can reach each other. */
import { createInstanceId } from '@dynamo-ts/base';
import type { EndpointPath } from '@dynamo-ts/protocol';

import { Context } from '../../context.ts';
import type {
  RawHandler,
  RawResponse,
  RequestPlane,
  RequestTarget,
  ServedTransport,
} from '../request-plane.ts';

/** A server and a client; in-process backends may use one plane for both. */
export interface PlanePair {
  readonly server: RequestPlane;
  readonly client: RequestPlane;
  /** Breaks the server off as a killed process would: connections end without a word. Undefined when nothing can break. */
  readonly sever?: () => Promise<void>;
  /** A new server where the severed one was, so that the old addresses reach it. */
  readonly restart?: () => Promise<RequestPlane>;
  readonly close: () => Promise<void>;
}

/** The endpoint that tests serve. */
export const ENDPOINT: EndpointPath = {
  namespace: 'test',
  component: 'backend',
  endpoint: 'generate',
};

/** How long a test waits for what must happen soon. */
export const patient = { timeout: 10_000, interval: 5 } as const;

/** UTF-8 text of bytes. */
export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** UTF-8 bytes of a text. */
export const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Reads an answer to its end. */
export async function readAll(response: RawResponse): Promise<Uint8Array[]> {
  const items: Uint8Array[] = [];
  for await (const item of response) items.push(item);
  return items;
}

/** Makes a fresh pair per test and serves one handler on it. */
export class PlaneBed {
  readonly #create: () => Promise<PlanePair>;
  #pair: PlanePair | undefined;
  #served: ServedTransport | undefined;

  constructor(create: () => Promise<PlanePair>) {
    this.#create = create;
  }

  get pair(): PlanePair {
    if (this.#pair === undefined) throw new Error('call serve() first');
    return this.#pair;
  }

  get served(): ServedTransport {
    if (this.#served === undefined) throw new Error('call serve() first');
    return this.#served;
  }

  get client(): RequestPlane {
    return this.pair.client;
  }

  /** Serves the handler on a fresh pair. @returns where it is */
  async serve(handler: RawHandler): Promise<RequestTarget> {
    this.#pair = await this.#create();
    const instanceId = createInstanceId();
    this.#served = await this.#pair.server.serve({ endpoint: ENDPOINT, instanceId }, handler);
    return { endpoint: ENDPOINT, instanceId, transport: this.#served.transport };
  }

  /** Opens a request from the client. */
  open(
    target: RequestTarget,
    payload: Uint8Array = new Uint8Array(),
    context: Context = new Context(),
  ): Promise<RawResponse> {
    return this.client.open(target, { payload, context });
  }

  /** Closes the pair of the test that has ended. */
  async close(): Promise<void> {
    const pair = this.#pair;
    this.#pair = undefined;
    this.#served = undefined;
    await pair?.close();
  }
}
