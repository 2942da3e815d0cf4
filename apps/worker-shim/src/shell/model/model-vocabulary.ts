import type { TokenTable } from '@dynamo-ts/preprocess';

import { TOKEN_PRINTABLE, TOKEN_SPECIAL } from '../../engines/engine.ts';
import type { EngineVocabulary } from '../../engines/engine.ts';

/** Letters, digits, punctuation, symbols, marks and plain spaces; no controls, no unassigned code points. */
const PRINTABLE = /^[^\p{C}\p{Zl}\p{Zp}\ufffd]+$/u;

/** What engines are told about the vocabulary of a model. */
export function createVocabulary(
  table: TokenTable,
  eosTokenIds: readonly number[],
): EngineVocabulary {
  const flags = new Uint8Array(table.size);
  for (let id = 0; id < table.size; id++) {
    if (table.isSpecial(id)) flags[id] = TOKEN_SPECIAL;
    else if (table.isKnown(id) && PRINTABLE.test(table.tryText(id) ?? '')) {
      flags[id] = TOKEN_PRINTABLE;
    }
  }
  for (const id of eosTokenIds) flags[id] = TOKEN_SPECIAL;
  return {
    flags,
    eosTokenIds: Uint32Array.from(eosTokenIds),
    tokenBytes: (id) => (table.isSpecial(id) ? new Uint8Array() : table.bytesOf(id)),
  };
}
