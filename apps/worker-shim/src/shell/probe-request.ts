import { GenerateRequest, TextInput_Kind, tokenIdsToBytes } from '@dynamo-ts/protocol';
import type { ModelDeploymentCard } from '@dynamo-ts/protocol';

/** A request for one token, as the reference's default health-check payload (RP 11.5). */
export function probeRequest(card: ModelDeploymentCard): Uint8Array {
  const ask = { prompt: 'Test', max_tokens: 1, temperature: 0 };
  const request = GenerateRequest.fromPartial({
    model: card.displayName,
    probe: true,
    samplingOptions: { temperature: 0 },
    stopConditions: { maxTokens: 1 },
    ...(card.modelInput === 'text'
      ? {
          textInput: {
            kind: TextInput_Kind.KIND_COMPLETION,
            bodyJson: Buffer.from(JSON.stringify(ask)),
          },
        }
      : { tokenIdsLe: Buffer.from(tokenIdsToBytes(Uint32Array.of(card.bosTokenId ?? 1))) }),
  });
  return GenerateRequest.encode(request).finish();
}
