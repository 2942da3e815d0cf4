import { fileURLToPath } from 'node:url';

/** Services that have a process of their own, named as their folder under `apps/`. */
export type ServiceName = 'frontend' | 'router' | 'worker-shim';

/** The script that runs a service: its source from a checkout, its compiled form elsewhere. */
export function serviceEntry(service: ServiceName): string {
  const index = import.meta.resolve(`@dynamo-ts/${service}`);
  return fileURLToPath(new URL(index.endsWith('.ts') ? './main.ts' : './main.js', index));
}

/** Runs a service in this process, as if its script had been started with these arguments. */
export async function runServiceMain(service: ServiceName, argv: readonly string[]): Promise<void> {
  const entry = serviceEntry(service);
  process.argv = [process.execPath, entry, ...argv];
  await import(entry);
}
