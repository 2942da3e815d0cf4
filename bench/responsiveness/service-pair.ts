import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { NodeProgram, eventually, freePort } from '@dynamo-ts/testing';

const main = (app: string): string =>
  fileURLToPath(new URL(`../../apps/${app}/src/main.ts`, import.meta.url));

/** A frontend and a mock worker as processes of their own, over file discovery and the gRPC mux. */
export class ServicePair implements AsyncDisposable {
  /** The frontend's address. */
  readonly url: string;
  /** The worker's status server, with its metrics. */
  readonly workerStatusUrl: string;
  readonly #programs: readonly NodeProgram[];
  readonly #folder: string;

  private constructor(ports: { http: number; status: number }, env: Record<string, string>) {
    this.url = `http://127.0.0.1:${ports.http}`;
    this.workerStatusUrl = `http://127.0.0.1:${ports.status}`;
    this.#folder = env['DYN_FILE_KV'] ?? '';
    this.#programs = [
      NodeProgram.start(main('worker-shim'), {
        env: { ...env, DYN_SYSTEM_PORT: String(ports.status) },
      }),
      NodeProgram.start(main('frontend'), { env: { ...env, DYN_HTTP_PORT: String(ports.http) } }),
    ];
  }

  /** Starts both and waits until the model is served. */
  static async start(): Promise<ServicePair> {
    const folder = await mkdtemp(join(tmpdir(), 'responsiveness-'));
    const ports = { http: await freePort(), status: await freePort() };
    const pair = new ServicePair(ports, {
      DYN_FILE_KV: folder,
      DYN_DISCOVERY_BACKEND: 'file',
      DYN_REQUEST_PLANE: 'grpc',
      DYN_EVENT_PLANE: 'direct',
    });
    await eventually(
      async () => (await (await fetch(`${pair.url}/v1/models`)).text()).includes('mocker'),
      { timeoutMs: 30_000, what: 'the model' },
    );
    return pair;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.kill()));
    await rm(this.#folder, { recursive: true, force: true });
  }
}
