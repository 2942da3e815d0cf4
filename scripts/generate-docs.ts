/** `npm run docs`: writes the documents that are generated from the code. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT, generateDocs } from '../apps/cli/src/docs/generate-docs.ts';

for (const [path, text] of await generateDocs()) {
  const file = join(ROOT, path);
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
  writeFileSync(file, text);
  process.stdout.write(`wrote ${path}\n`);
}
