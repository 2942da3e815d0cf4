/** vLLM's sleep mode, over the routes that it has with `--enable-sleep-mode` and `VLLM_SERVER_DEV_MODE=1`. */
import { DynamoError, hasCode } from '@dynamo-ts/base';
import type { AbortOptions } from '@dynamo-ts/base';

import type { EngineHttp } from '../../http/engine-http.ts';
import { recordOf } from '../../http/json-fields.ts';
import { SLEEPING_PARTS } from '../engine-sleep.ts';
import type { EngineSleep, SleepingPart } from '../engine-sleep.ts';

/** {@link EngineSleep} of the server behind a connection. */
export class VllmSleep implements EngineSleep {
  readonly #http: () => EngineHttp;

  /** Asks nobody. @param http gives the connection of now, or throws */
  constructor(http: () => EngineHttp) {
    this.#http = http;
  }

  async check(options: AbortOptions): Promise<void> {
    const http = this.#http();
    if ((await isSleeping(http, options)) !== undefined) return;
    throw new DynamoError(
      'runtime.not_implemented',
      `the engine at ${http.address} has no sleep mode; vLLM has it with --enable-sleep-mode and VLLM_SERVER_DEV_MODE=1`,
    );
  }

  async sleep(level: number, options: AbortOptions): Promise<void> {
    await this.#http().post(`/sleep?level=${level}`, options);
  }

  async wake(parts: readonly SleepingPart[], options: AbortOptions): Promise<void> {
    // Without tags it brings everything back, whatever it has.
    const tags =
      parts.length === SLEEPING_PARTS.length
        ? ''
        : `?${parts.map((part) => `tags=${part}`).join('&')}`;
    await this.#http().post(`/wake_up${tags}`, options);
  }
}

/** Whether the server sleeps; undefined when it has no sleep mode. */
export async function isSleeping(
  http: EngineHttp,
  options: AbortOptions,
): Promise<boolean | undefined> {
  try {
    return recordOf(await http.getJson('/is_sleeping', options))['is_sleeping'] === true;
  } catch (error) {
    if (hasCode(error, 'backend.error', 'request.invalid', 'transport.protocol')) return undefined;
    throw error;
  }
}
