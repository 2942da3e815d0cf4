/**
 * The library form of the frontend (RF 1.16): an OpenAI-compatible HTTP server in front of engine functions of this
 * process, for programs that bring their own engine and need neither workers nor discovery.
 *
 * It is the frontend's own HTTP layer on models that are functions: validation, streaming, whole answers, several choices,
 * cancellation when a client leaves, metrics and errors are the same code. It does not route, tokenise or move answers.
 * Limits are the defaults of the frontend service; environment variables are not read.
 */
import { createTelemetry } from '@dynamo-ts/telemetry';
import type { Telemetry } from '@dynamo-ts/telemetry';

import { HttpServing } from './http-serving.ts';
import { ModelManager } from './model-manager.ts';

/** What an {@link HttpService} is built with. */
interface HttpServiceSettings {
  readonly host: string;
  readonly port: number;
  readonly chatEndpoints: boolean;
  readonly completionsEndpoints: boolean;
  readonly drainTimeoutMs: number | undefined;
  readonly telemetry: Telemetry | undefined;
}

/** A service that runs in the background. */
export interface HttpServiceHandle {
  /** `http://host:port`. */
  readonly url: string;
  /** Resolves when the service has stopped and its last answer has ended. @throws what broke the server */
  readonly finished: Promise<void>;
}

/** Makes an {@link HttpService}. */
export class HttpServiceBuilder {
  #settings: HttpServiceSettings = {
    host: '0.0.0.0',
    port: 8787,
    chatEndpoints: true,
    completionsEndpoints: true,
    drainTimeoutMs: undefined,
    telemetry: undefined,
  };

  /** Port to listen on; 0 takes any free one. @default 8787 */
  port(port: number): this {
    return this.#with({ port });
  }

  /** Address to listen on. @default '0.0.0.0' */
  host(host: string): this {
    return this.#with({ host });
  }

  /** Whether `/v1/chat/completions` is served. @default true */
  enableChatEndpoints(enabled: boolean): this {
    return this.#with({ chatEndpoints: enabled });
  }

  /** Whether `/v1/completions` is served. @default true */
  enableCompletionsEndpoints(enabled: boolean): this {
    return this.#with({ completionsEndpoints: enabled });
  }

  /** Longest wait for requests that run when the service stops. @default as long as they take */
  drainTimeoutMs(timeoutMs: number): this {
    return this.#with({ drainTimeoutMs: timeoutMs });
  }

  /** Logger, metrics and tracer to use. @default a log on stderr and a registry of its own */
  telemetry(telemetry: Telemetry): this {
    return this.#with({ telemetry });
  }

  /** The service; what is enabled does not change afterwards. */
  build(): HttpService {
    return new HttpService(this.#settings);
  }

  #with(change: Partial<HttpServiceSettings>): this {
    this.#settings = { ...this.#settings, ...change };
    return this;
  }
}

/**
 * A server for engines of this process. `/v1/models` and `/metrics` are always served.
 *
 * @example
 * const service = HttpService.builder().port(8080).build();
 * service.modelManager().addChatCompletionsModel('echo', engine);
 * await service.run(signal);
 */
export class HttpService {
  readonly #settings: HttpServiceSettings;
  readonly #telemetry: Telemetry;
  readonly #models: ModelManager;

  /** Use {@link HttpService.builder}. */
  constructor(settings: HttpServiceSettings) {
    this.#settings = settings;
    this.#telemetry = settings.telemetry ?? createTelemetry({ service: 'http-service' });
    this.#models = new ModelManager(this.#telemetry);
  }

  static builder(): HttpServiceBuilder {
    return new HttpServiceBuilder();
  }

  /** Where it listens; the handle of {@link spawn} knows the port that 0 became. */
  get address(): { readonly host: string; readonly port: number } {
    const { host, port } = this.#settings;
    return { host, port };
  }

  /** The models that are served; the same object each time. */
  modelManager(): ModelManager {
    return this.#models;
  }

  /**
   * Serves until the signal is aborted, then waits for the requests that run.
   *
   * @throws `config.port_in_use`, `config.invalid` with `could not bind to address: host:port`; what broke the server
   */
  async run(signal: AbortSignal): Promise<void> {
    const { finished } = await this.spawn(signal);
    await finished;
  }

  /** Serves in the background; resolves when the port is open. @throws as {@link run} when it cannot be opened */
  async spawn(signal: AbortSignal): Promise<HttpServiceHandle> {
    const state = this.#models.state();
    return HttpServing.start({ ...this.#settings, telemetry: this.#telemetry, state }, signal);
  }
}
