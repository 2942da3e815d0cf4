/**
 * The answer to a request with the annotation `query_instance_id`: where it would go, without running it (RP 4.8). Gateways
 * ask this and then send the request with the worker's id and the token ids.
 */
import { SSE_DONE, responseJson, sseAnnotation } from '@dynamo-ts/openai';
import type { OpenAiRequest, ResponseHead, UsageCounts } from '@dynamo-ts/openai';
import { wantsPlaceOnly } from '@dynamo-ts/protocol';
import { workerIds } from '@dynamo-ts/routing';
import type { Placement } from '@dynamo-ts/routing';

import { dispatchRequest } from '../generation/answer.ts';
import type { AnswerOptions } from '../generation/answer.ts';
import type { Exchange } from './exchange.ts';
import { SseWriter } from './sse-writer.ts';

/** What is needed to answer. */
export interface AdviceOptions extends Pick<
  AnswerOptions,
  'model' | 'plans' | 'pinned' | 'wishes' | 'context'
> {
  readonly exchange: Exchange;
  readonly request: OpenAiRequest;
  readonly head: ResponseHead;
}

/** Whether the client wants the choice only. */
export function wantsAdvice({ nvext }: OpenAiRequest): boolean {
  return wantsPlaceOnly(nvext?.annotations ?? []);
}

/** Answers with the choice for the first prompt. */
export async function answerAdvice(options: AdviceOptions): Promise<UsageCounts> {
  const { model, plans, context, exchange, request, head } = options;
  const [plan] = plans;
  const usage = { promptTokens: plan?.planned.prompt.tokenIds.length ?? 0, completionTokens: 0 };
  if (plan === undefined) return usage;
  const placement = await model.dispatcher.advise({
    ...dispatchRequest(options, plan, context),
    excluded: model.excluded,
  });
  exchange.placed(placement);
  const tokenIds = [...plan.planned.prompt.tokenIds];
  if (request.stream === true) stream(exchange, placement, tokenIds);
  else {
    const nvext = { worker_id: workerIds(placement), token_data: tokenIds, ...costOf(placement) };
    exchange.sendJson(200, responseJson({ head, choices: [], usage, nvext }));
  }
  return usage;
}

function stream(exchange: Exchange, placement: Placement, tokenIds: readonly number[]): void {
  const events: readonly (readonly [string, unknown])[] = [
    ['worker_instance_id', String(placement.instanceId)],
    ['worker_id', workerIds(placement)],
    ['placement', costOf(placement).placement],
    ['token_data', tokenIds],
  ];
  const { response, headers } = exchange;
  const text = events.map(([name, value]) => sseAnnotation(name, value)).join('');
  new SseWriter({ response, headers }).end(text + SSE_DONE);
}

function costOf(placement: Placement): { readonly placement: Readonly<Record<string, unknown>> } {
  const { overlapBlocks, cachedTokens, reason } = placement;
  return { placement: { overlap_blocks: overlapBlocks, cached_tokens: cachedTokens, reason } };
}
