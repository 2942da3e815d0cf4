#!/usr/bin/env node
/**
 * The `dynamo` command. Plain JavaScript, so that a wrong Node or a checkout that is not set up gets one clear line and no
 * syntax error. From a checkout it runs the TypeScript sources, elsewhere the compiled files.
 */
import { existsSync, readdirSync } from 'node:fs';
import * as module from 'node:module';
import { fileURLToPath } from 'node:url';

const MIN_NODE_MAJOR = 24;
const SOURCE_CONDITION = '--conditions=@dynamo-ts/source';
/** Commands that say what is missing, so they must run without it. */
const NEEDS_NO_ADDON = [
  'doctor',
  'explain',
  'version',
  '--version',
  'help',
  '--help',
  '-h',
  undefined,
];

const source = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const compiled = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const nativeFolder = fileURLToPath(new URL('../../../native/node', import.meta.url));
const fromSource = existsSync(source);

if (Number(process.versions.node.split('.')[0]) < MIN_NODE_MAJOR) {
  fail(
    `dynamo needs Node ${MIN_NODE_MAJOR} or newer, this is ${process.versions.node}: in the repository run "npm start" or "npx dynamo", which bring their own`,
  );
} else if (!NEEDS_NO_ADDON.includes(commandName()) && !addonIsBuilt()) {
  fail('the native addon is not built: run "npm start", or "node scripts/setup.mjs" to only build');
} else if (fromSource && !process.execArgv.includes(SOURCE_CONDITION)) {
  // Workers and child processes inherit options of the process but no hooks, so the condition must be an option.
  process.execve(process.execPath, [
    process.execPath,
    ...process.execArgv,
    SOURCE_CONDITION,
    ...process.argv.slice(1),
  ]);
} else {
  module.enableCompileCache?.();
  await import(fromSource ? source : compiled);
}

/** `help up` needs what `up --help` needs. */
function commandName() {
  const [word, about] = process.argv.slice(2);
  return word === 'help' && about !== undefined ? about : word;
}

function addonIsBuilt() {
  return (
    !existsSync(nativeFolder) || readdirSync(nativeFolder).some((name) => name.endsWith('.node'))
  );
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exitCode = 1;
}
