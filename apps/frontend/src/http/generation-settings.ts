import type { FrontendConfig } from '../config.ts';
import type { GenerationSettings } from './generation-handler.ts';
import { readRequestTemplate } from './request-template.ts';

const MIB = 1024 * 1024;

/** How requests are answered, from the configuration. @throws `config.invalid` when the request template cannot be read */
export function generationSettings(config: FrontendConfig): GenerationSettings {
  return {
    bodyLimitBytes: Math.floor(config.httpBodyLimitMb * MIB),
    overloadStatus: config.httpOverloadStatusCode,
    ignoreUnsupported: config.ignoreUnsupportedFields,
    forceIncludeUsage: config.forceIncludeUsage,
    disableNvext: config.disableNvext,
    metadataPrefix: config.metadataHeader.toLowerCase(),
    requestTemplate:
      config.requestTemplatePath === undefined
        ? undefined
        : readRequestTemplate(config.requestTemplatePath),
    migration: {
      limit: config.migrationLimit,
      maxSequenceTokens: config.migrationMaxSeqLen,
      waitMs: config.migrationWaitMs,
    },
  };
}
