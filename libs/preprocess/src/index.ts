export type { ChoiceDecoderOptions, StopOptions } from './choice-decoder.ts';
export { ChoiceDecoder } from './choice-decoder.ts';
export type { DecodedDeltaOptions, DecodedFinishReason } from './decoded-delta.ts';
export { DecodedDelta } from './decoded-delta.ts';
export type { TokenDecoder } from './token-decoder.ts';
export { ByteTableDecoder, NativeTokenDecoder, textOnlyDecoder } from './token-decoder.ts';
export type { TokenTableOptions } from './token-table.ts';
export { TokenTable } from './token-table.ts';
