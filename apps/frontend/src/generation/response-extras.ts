/** Extension values of a response (`nvext`, RF 3.7) and annotation events (RF 3.8). */
import type { OpenAiRequest } from '@dynamo-ts/openai';
import { sseAnnotation } from '@dynamo-ts/openai';
import type { DecodedDelta } from '@dynamo-ts/preprocess';
import { workerIds } from '@dynamo-ts/routing';

import type { RequestRecord } from '../request-record.ts';
import type { AnsweringWorker } from './answer.ts';
import type { PlannedPrompt } from './choice-plan.ts';

/** What extension values are made from. */
export interface ExtrasSource {
  readonly worker: AnsweringWorker;
  readonly record: RequestRecord;
  readonly delta: DecodedDelta;
}

/** The `nvext` of a response; undefined when the client asked for nothing. Ids are decimal strings. */
export function responseNvext(
  request: OpenAiRequest,
  source: ExtrasSource,
): Readonly<Record<string, unknown>> | undefined {
  const wanted = request.nvext?.extra_fields;
  if (wanted === undefined || wanted.length === 0) return undefined;
  const extras: Record<string, unknown> = {};
  if (wanted.includes('worker_id')) {
    extras['worker_id'] = workerIds(source.worker.placement);
  }
  if (wanted.includes('timing')) extras['timing'] = timing(source.record);
  if (wanted.includes('stop_reason')) extras['stop_reason'] = source.delta.stopReason ?? null;
  return Object.keys(extras).length === 0 ? undefined : extras;
}

/** Events that precede the first token of a stream. */
export function annotationEvents(
  request: OpenAiRequest,
  requestId: string,
  prompts: readonly PlannedPrompt[],
): string {
  const wanted = request.nvext?.annotations ?? [];
  let events = '';
  if (wanted.includes('request_id')) events += sseAnnotation('request_id', requestId);
  for (const { prompt } of prompts) {
    if (wanted.includes('formatted_prompt') && prompt.formattedPrompt !== undefined) {
      events += sseAnnotation('formatted_prompt', prompt.formattedPrompt);
    }
    if (wanted.includes('token_ids')) events += sseAnnotation('token_ids', [...prompt.tokenIds]);
  }
  return events;
}

function timing(record: RequestRecord): Readonly<Record<string, number>> {
  const totalMs = performance.now() - record.receivedMs;
  return {
    request_received_ms: performance.timeOrigin + record.receivedMs,
    ttft_ms: record.firstTokenMs ?? totalMs,
    ...(record.meanInterTokenMs === undefined ? {} : { itl_ms: record.meanInterTokenMs }),
    total_time_ms: totalMs,
  };
}
