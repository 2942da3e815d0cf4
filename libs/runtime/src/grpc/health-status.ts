import { HealthCheckResponse_ServingStatus, HealthService } from '@dynamo-ts/protocol';
import type { HealthCheckResponse } from '@dynamo-ts/protocol';
import { status } from '@grpc/grpc-js';
import type { Server, ServerUnaryCall, ServerWritableStream, sendUnaryData } from '@grpc/grpc-js';
import type { HealthCheckRequest } from '@dynamo-ts/protocol';

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;

type Watcher = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

/** What `grpc.health.v1` answers, per service; the empty name is the server as a whole, which serves at once. */
export class HealthStatus {
  readonly #serving = new Map<string, boolean>([['', true]]);
  readonly #watchers = new Map<Watcher, string>();

  /** Says whether a service can take calls. */
  set(service: string, serving: boolean): void {
    this.#serving.set(service, serving);
    for (const [watcher, name] of this.#watchers)
      if (name === service) watcher.write({ status: this.#statusOf(service) });
  }

  /** Puts the health service on a server. */
  addTo(server: Server): void {
    server.addService(HealthService, {
      check: (
        call: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>,
        callback: sendUnaryData<HealthCheckResponse>,
      ) => {
        const { service } = call.request;
        if (this.#serving.has(service)) callback(null, { status: this.#statusOf(service) });
        else callback({ code: status.NOT_FOUND, details: `unknown service ${service}` });
      },
      watch: (call: Watcher) => {
        this.#watchers.set(call, call.request.service);
        call.write({ status: this.#statusOf(call.request.service) });
        call.on('cancelled', () => this.#watchers.delete(call));
      },
    });
  }

  /** Nothing is served any more; ends all watches. */
  close(): void {
    for (const service of this.#serving.keys()) this.set(service, false);
    for (const watcher of this.#watchers.keys()) watcher.end();
    this.#watchers.clear();
  }

  #statusOf(service: string): HealthCheckResponse['status'] {
    const serving = this.#serving.get(service);
    if (serving === undefined) return SERVICE_UNKNOWN;
    return serving ? SERVING : NOT_SERVING;
  }
}
