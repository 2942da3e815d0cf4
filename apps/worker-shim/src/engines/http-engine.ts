/**
 * What all engines behind HTTP share: the connection, its health, the running answers and the load. A subclass says how
 * to ask questions; see `llama-server.ts` and `openai.ts`.
 */
import { DynamoError, systemClock } from '@dynamo-ts/base';
import type { AbortOptions, Clock } from '@dynamo-ts/base';
import type { GenerateRequest } from '@dynamo-ts/protocol';
import type { Context } from '@dynamo-ts/runtime';
import type { Logger } from '@dynamo-ts/telemetry';

import type { EngineHttp } from '../http/engine-http.ts';
import { arrayOf, recordOf, stringOf } from '../http/json-fields.ts';
import { EngineConnection } from '../supervise/engine-connection.ts';
import type { EngineSource } from '../supervise/engine-connection.ts';
import type {
  Engine,
  EngineFacts,
  EngineHost,
  EngineKind,
  EngineLoad,
  EngineSink,
  EngineStartOptions,
} from './engine.ts';
import type { EngineWork } from './abort-confirmer.ts';
import { HttpAnswers } from './http-answers.ts';
import type { HttpQuestion } from './http-answers.ts';
import { LoadReader } from './load-reader.ts';
import { LoadTracker } from './load-tracker.ts';
import type { ObservedLoad } from './load-tracker.ts';

/** Settings of every HTTP engine. */
export interface HttpEngineOptions {
  readonly source: EngineSource;
  readonly apiKey?: string | undefined;
  /** Wanted input; `auto` takes tokens when engine and model files allow it. */
  readonly input: 'auto' | 'tokens' | 'text';
  /** Where the model's tokenizer is; undefined when only the engine knows. */
  readonly modelPath: string | undefined;
  /** Tokens per KV block of an engine that does not say. */
  readonly blockSize: number;
  readonly startupTimeoutMs: number;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** A started engine's parts. */
interface Session {
  readonly connection: EngineConnection;
  readonly answers: HttpAnswers;
  readonly load: LoadTracker;
  readonly reader: LoadReader;
}

/** An engine that is asked over HTTP. */
export abstract class HttpEngine implements Engine {
  abstract readonly kind: EngineKind;
  readonly #options: HttpEngineOptions;
  readonly #healthPath: string;
  #session: Session | undefined;

  protected constructor(options: HttpEngineOptions, healthPath: string) {
    this.#options = options;
    this.#healthPath = healthPath;
  }

  async start(options: EngineStartOptions): Promise<EngineFacts> {
    const { host, signal } = options;
    const connection = await EngineConnection.open({
      source: this.#options.source,
      apiKey: this.#options.apiKey,
      healthPath: this.#healthPath,
      startupTimeoutMs: this.#options.startupTimeoutMs,
      logger: this.#options.logger,
      clock: this.#options.clock ?? systemClock,
      signal,
      onDeath: (error) => {
        host.crashed(error);
      },
    });
    try {
      const facts = await this.inspect(connection.http, { signal });
      const { load, reader } = this.#trackLoad(connection, facts, host);
      const answers = new HttpAnswers({
        http: connection.http,
        load,
        readWork: (stop) => this.readWork(connection.http, { signal: stop }),
        clock: this.#options.clock,
        onUnreachable: () => {
          connection.checkNow();
        },
      });
      this.#session = { connection, answers, load, reader };
      return facts;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  generate(request: GenerateRequest, sink: EngineSink, context: Context): void {
    if (this.#session === undefined) throw notRunning();
    this.#session.answers.start(this.ask(request), sink, context);
  }

  load(): readonly EngineLoad[] {
    return this.#session?.load.snapshot() ?? [];
  }

  async metricsText(): Promise<string> {
    try {
      return (await this.#session?.connection.http.getText('/metrics')) ?? '';
    } catch {
      return '';
    }
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.answers.close();
    await session?.reader.close();
    await session?.connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The connection of now. @throws `backend.engine_shutdown` while there is none */
  protected connected(): EngineHttp {
    if (this.#session !== undefined) return this.#session.connection.http;
    throw notRunning();
  }

  /** Asks the engine that just answered about itself. */
  protected abstract inspect(http: EngineHttp, options: AbortOptions): Promise<EngineFacts>;

  /** Turns a request into a question. @throws `request.invalid` */
  protected abstract ask(request: GenerateRequest): HttpQuestion;

  /** Asks the engine what it holds; undefined from engines that do not tell. */
  protected readLoad(
    _http: EngineHttp,
    _options: AbortOptions,
  ): Promise<readonly ObservedLoad[] | undefined> {
    return Promise.resolve(undefined);
  }

  /** Asks the engine how many requests it has; undefined from engines that do not tell. */
  protected readWork(_http: EngineHttp, _options: AbortOptions): Promise<EngineWork | undefined> {
    return Promise.resolve(undefined);
  }

  #trackLoad(connection: EngineConnection, facts: EngineFacts, host: EngineHost) {
    const reader = new LoadReader({
      read: (signal) => this.readLoad(connection.http, { signal }),
      load: () => load,
      clock: this.#options.clock,
    });
    const loadChanged = (): void => {
      host.loadChanged();
      reader.changed();
    };
    const load = new LoadTracker({ ...facts, host: { loadChanged } });
    return { load, reader };
  }
}

function notRunning(): DynamoError {
  return new DynamoError('backend.engine_shutdown', 'the engine is not running');
}

/** A model in an engine's own list. */
export interface ListedModel {
  readonly id: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** The first model that the engine lists. @throws `backend.error` when it lists none */
export async function firstModel(http: EngineHttp, options: AbortOptions): Promise<ListedModel> {
  const list = recordOf(await http.getJson('/v1/models', options));
  const fields = recordOf(arrayOf(list['data'])[0]);
  const id = stringOf(fields['id']);
  if (id === undefined) {
    throw new DynamoError('backend.error', `the engine at ${http.address} lists no model`);
  }
  return { id, fields };
}
