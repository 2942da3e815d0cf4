import type { MetricsRegistry, Telemetry } from '@dynamo-ts/telemetry';

import { DeploymentState } from './deployment-state.ts';
import type { ChatCompletionsEngine, CompletionsEngine } from './engine.ts';

/**
 * The models of an {@link HttpService}: engine functions of this process, added and removed at any time, also while the
 * service runs. A taken name is `request.conflict` (the reference's `ModelAlreadyExists`), an unknown one
 * `request.model_not_found` (`ModelNotFound`).
 */
export class ModelManager {
  readonly #state: DeploymentState;
  readonly #metrics: MetricsRegistry;

  constructor(telemetry: Telemetry) {
    this.#state = new DeploymentState(telemetry);
    this.#metrics = telemetry.metrics;
  }

  /** Whether the name serves chats or text completions. */
  hasModelAny(name: string): boolean {
    const { chatCompletions, completions } = this.#state;
    return chatCompletions.contains(name) || completions.contains(name);
  }

  listChatCompletionsModels(): readonly string[] {
    return this.#state.chatCompletions.list();
  }

  listCompletionsModels(): readonly string[] {
    return this.#state.completions.list();
  }

  /** Serves a model at `/v1/chat/completions` from now on. @throws `request.conflict` */
  addChatCompletionsModel(name: string, engine: ChatCompletionsEngine): void {
    this.#state.chatCompletions.add(name, engine);
  }

  /** Serves a model at `/v1/completions` from now on. @throws `request.conflict` */
  addCompletionsModel(name: string, engine: CompletionsEngine): void {
    this.#state.completions.add(name, engine);
  }

  /** Requests that run go on. @throws `request.model_not_found` */
  removeChatCompletionsModel(name: string): void {
    this.#state.chatCompletions.remove(name);
  }

  /** Requests that run go on. @throws `request.model_not_found` */
  removeCompletionsModel(name: string): void {
    this.#state.completions.remove(name);
  }

  /** What `/metrics` shows. */
  metrics(): MetricsRegistry {
    return this.#metrics;
  }

  /** Engines by kind. */
  state(): DeploymentState {
    return this.#state;
  }
}
