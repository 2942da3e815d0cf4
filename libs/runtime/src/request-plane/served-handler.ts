/**
 * One served endpoint of this process, the same for every request plane: it runs the handler, knows which requests are
 * running, refuses new ones when told, and kills the rest on close.
 */
import { DynamoError } from '@dynamo-ts/base';
import { formatEndpointPath } from '@dynamo-ts/protocol';

import type { IncomingRequest, RawHandler, ServeOptions } from './request-plane.ts';
import { ServerCall } from './server-call.ts';
import type { AnswerChannel } from './server-call.ts';

/** A handler and its running requests. */
export class ServedHandler {
  readonly options: ServeOptions;
  readonly #handler: RawHandler;
  readonly #calls = new Set<ServerCall>();
  readonly #idleWaiters: (() => void)[] = [];
  #refusing = false;

  constructor(options: ServeOptions, handler: RawHandler) {
    this.options = options;
    this.#handler = handler;
  }

  /** Requests that run now. */
  get running(): number {
    return this.#calls.size;
  }

  /** Refuses new requests. Idempotent. */
  refuse(): void {
    this.#refusing = true;
  }

  /** The error for new requests; undefined while they are taken. */
  refusal(): DynamoError | undefined {
    if (!this.#refusing) return undefined;
    return new DynamoError('runtime.closed', `${this.#name()} takes no new requests; try another`);
  }

  /** Resolves when no request runs. */
  async idle(): Promise<void> {
    if (this.#calls.size === 0) return;
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Refuses new requests and kills those that run: their callers see an engine that shut down, and may migrate. */
  close(): void {
    this.refuse();
    for (const call of [...this.#calls]) {
      call.fail(new DynamoError('backend.engine_shutdown', `${this.#name()} is shutting down`));
      call.kill('shutdown');
    }
  }

  /** Runs a request. @returns its call, or undefined when it was rejected */
  start(request: IncomingRequest, channel: AnswerChannel): ServerCall | undefined {
    const refusal = this.refusal();
    if (refusal !== undefined) {
      channel.reject(refusal);
      return undefined;
    }
    const call = new ServerCall({
      context: request.context,
      channel,
      onDone: (done) => {
        this.#done(done);
      },
    });
    this.#calls.add(call);
    this.#run(request, call);
    return call;
  }

  #run(request: IncomingRequest, call: ServerCall): void {
    try {
      const done = this.#handler(request, call);
      if (done !== undefined) {
        done.catch((error: unknown) => {
          call.fail(error);
        });
      }
    } catch (error) {
      call.fail(error);
      return;
    }
    // After the rejection of an async handler that failed at once, so that it still counts as a refusal.
    queueMicrotask(() => {
      call.accept();
    });
  }

  #done(call: ServerCall): void {
    this.#calls.delete(call);
    if (this.#calls.size > 0) return;
    for (const wake of this.#idleWaiters.splice(0)) wake();
  }

  #name(): string {
    return formatEndpointPath(this.options.endpoint);
  }
}
