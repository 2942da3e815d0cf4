import type { ModelDeploymentCard } from '@dynamo-ts/protocol';

/** When answers move. */
export interface MigrationSettings {
  /** Moves of one answer after its first token; 0 = never. */
  readonly limit: number;
  /** Longest sequence, prompt included, that moves. */
  readonly maxSequenceTokens: number | undefined;
  /** How long a broken answer waits for a worker that can take over. */
  readonly waitMs: number;
}

/** The settings for a model; its card may lower the limit. */
export function migrationOf(
  settings: MigrationSettings,
  { migrationLimit }: Pick<ModelDeploymentCard, 'migrationLimit'>,
): MigrationSettings {
  if (migrationLimit === 0 || migrationLimit >= settings.limit) return settings;
  return { ...settings, limit: migrationLimit };
}
