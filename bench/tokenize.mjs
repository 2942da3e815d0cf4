// CPU time of one native call: chat body → template → token ids → block hashes.
//
//   node scripts/test-models.mjs && node bench/tokenize.mjs [folder with tokenizer.json and tokenizer_config.json]
//
// "cold" prompts were never seen before; "prefix hit" prompts repeat all but the last, short message. The peer beside
// them is Hugging Face's own Node binding (npm `tokenizers`) when it is installed, encoding alone: the library that
// Dynamo's frontend uses.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import native from '@dynamo-ts/native';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder =
  process.argv[2] ?? join(root, 'node_modules', '.cache', 'dynamo-test-models', 'qwen3');
const WORDS =
  'the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were all her she there would their we him been has when who will no more if out so up said what its about than into them can only other time new some could these two may first then do any like my now over such our man me even most made after also did many off before must well back through years much where your way down should because long each just state those people too mr how little good world make very year still see own work men day get here between both life being under three never know same last another while us might great go come since against right came take used himself few house use place during high without again home around small however found thought went say part once general upon school every don tokenization scheduler prefix latency throughput streaming deployment Kubernetes infrastructure 2024 3.14 JSON HTTP'.split(
    ' ',
  );
const REPEATS = { 1024: 400, 8192: 60 };

let state = 12_345;
function random(limit) {
  state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  return (state >>> 8) % limit;
}

function words(count) {
  return Array.from({ length: count }, () => WORDS[random(WORDS.length)]).join(' ');
}

function body(prefix, question) {
  const messages = [
    { role: 'user', content: prefix },
    { role: 'assistant', content: 'I see.' },
    { role: 'user', content: question },
  ];
  return Buffer.from(JSON.stringify({ model: 'm', messages }));
}

async function cpuMicros(bodies, run) {
  for (const item of bodies.slice(0, 5)) await run(item);
  const start = process.cpuUsage();
  for (const item of bodies.slice(5)) await run(item);
  const { user, system } = process.cpuUsage(start);
  return (user + system) / (bodies.length - 5);
}

async function peer() {
  try {
    const { Tokenizer } = await import('tokenizers');
    return Tokenizer.fromFile(join(folder, 'tokenizer.json'));
  } catch {
    return undefined;
  }
}

const files = [
  ['tokenizer_json', 'tokenizer.json'],
  ['tokenizer_config', 'tokenizer_config.json'],
]
  .map(([role, name]) => ({ role, path: join(folder, name) }))
  .filter(({ path }) => existsSync(path));
const model = await native.NativeTextModel.load({ files });
const other = await peer();
const encode = (item) => model.encodeChat(item, { blockSize: 16 });

console.log('µs of CPU per prompt, all threads together');
for (const count of [1024, 8192]) {
  const repeats = REPEATS[count] + 5;
  const cold = Array.from({ length: repeats }, () => body(words(count), 'And now?'));
  const shared = words(count);
  const warm = Array.from({ length: repeats }, (_, turn) => body(shared, `Question ${turn}?`));
  const { tokenIds } = await encode(cold[0]);
  const row = {
    words: count,
    tokens: tokenIds.length,
    cold: await cpuMicros(cold, encode),
    'prefix hit': await cpuMicros(warm, encode),
  };
  if (other !== undefined) {
    const texts = cold.map((item) => JSON.parse(item.toString()).messages[0].content);
    row['tokenizers (encode only)'] = await cpuMicros(texts, (text) => other.encode(text));
  }
  console.log(
    Object.entries(row)
      .map(([name, value]) => `${name}: ${Math.round(value)}`)
      .join('   '),
  );
}
model.close();
