import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import { GenerateResponse } from '@dynamo-ts/protocol';
import type { ResponseSink } from '@dynamo-ts/runtime';
/** A request's body and where its answer goes. */
export interface ScriptedRequest {
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers: IncomingHttpHeaders;
  readonly response: ServerResponse;
}
/** Answers of a {@link ScriptedEngine}, by method and path; a value that is no function is sent as JSON. */
export type Script = Record<string, unknown>;
/** A scripted HTTP engine on a port of its own. */
export declare class ScriptedEngine implements AsyncDisposable {
  #private;
  readonly script: Script;
  /** Bodies of all POSTs so far. */
  readonly bodies: Readonly<Record<string, unknown>>[];
  private constructor();
  static start(script: Script, port?: number): Promise<ScriptedEngine>;
  get url(): string;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
/** Sends events as a stream and ends it. */
export declare function events(...frames: readonly unknown[]): (request: ScriptedRequest) => void;
/** Refuses with a status and a JSON body. */
export declare function refusal(status: number, body: unknown): (request: ScriptedRequest) => void;
/** Keeps what is written; its credit is given by the test. */
export declare class CollectingSink implements ResponseSink {
  #private;
  readonly responses: GenerateResponse[];
  hasCredit: boolean;
  constructor();
  write(item: Uint8Array): boolean;
  drained(): Promise<void>;
  /** Gives credit again. */
  drain(): void;
  end(): void;
  fail(error: unknown): void;
  /** All responses once the answer has ended. @throws what it failed with */
  answer(): Promise<readonly GenerateResponse[]>;
}
//# sourceMappingURL=scripted-engine.d.ts.map
