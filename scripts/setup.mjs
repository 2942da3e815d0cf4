/**
 * Makes a checkout runnable: npm packages and the native addon, side by side, each only when its inputs changed.
 *
 * Plain JavaScript for Node 20, because it runs before the packaged Node 24 is there. Several may run at once: one works,
 * the others wait. `node scripts/setup.mjs` runs it alone; `setup()` is what start.mjs and test.mjs call.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { constants, homedir } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Progress } from './setup-progress.mjs';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Oldest Node that runs these scripts and npm's installers; everything after runs on the packaged Node 24. */
const MIN_NODE = [20, 19];
const NATIVE = join(ROOT, 'native');
const LOCKFILE = join(ROOT, 'package-lock.json');
/** Inside node_modules, so that it goes when they go. */
const PACKAGES_STAMP = join(ROOT, 'node_modules/.setup/packages');
const ADDON_STAMP = join(ROOT, '.setup/addon');
const LOCK = join(ROOT, '.setup/lock');
const LOCK_POLL_MS = 200;
const STOP_GRACE_MS = 2000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** What a user can mend; shown as one line. */
class SetupError extends Error {}

/** Brings the checkout up to date; ends the process with one line when something is missing. */
export async function setup() {
  try {
    checkNode();
    if (isCurrent()) return;
    await withLock(async () => {
      if (!isCurrent()) await install();
    });
  } catch (error) {
    const isOfSystem = error.syscall !== undefined;
    if (!isOfSystem && !(error instanceof SetupError)) throw error;
    const message = isOfSystem
      ? `cannot set up ${ROOT}: ${error.message}; it must be writable by this user, with room for 2 GB`
      : error.message;
    process.stderr.write(`${message}\n`);
    process.exit(1);
  }
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1])) return;
  throw new SetupError(
    `Node ${MIN_NODE.join('.')} or newer is needed, this is ${process.versions.node}: install it from https://nodejs.org`,
  );
}

function isCurrent() {
  return packagesAreCurrent() && addonIsCurrent();
}

async function install() {
  const packages = !packagesAreCurrent();
  const addon = !addonIsCurrent();
  const cargo = addon ? findCargo() : undefined;
  const progress = new Progress();
  for (const signal of SIGNALS) process.on(signal, stop);
  try {
    const steps = [];
    if (packages) steps.push(progress.step('installing npm packages', installPackages));
    if (addon)
      steps.push(progress.step('building the native addon', (note) => buildAddon(cargo, note)));
    await Promise.all(steps);
  } catch (error) {
    // What is missing is told now and not when the other step is through, minutes later; cargo goes on where it was.
    await endRunning('SIGTERM');
    throw error;
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
    progress.close();
  }
}

/* npm packages */

function packagesAreCurrent() {
  const wanted = hashFiles([LOCKFILE]);
  if (readStamp(PACKAGES_STAMP) === wanted) return true;
  if (!installedMatchesLockfile()) return false;
  writeStamp(PACKAGES_STAMP, wanted);
  return true;
}

/** Whether a hand-made `npm install` already put exactly the locked packages there. */
function installedMatchesLockfile() {
  const installedFile = join(ROOT, 'node_modules/.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  const locked = JSON.parse(readFileSync(LOCKFILE, 'utf8')).packages;
  return Object.entries(locked).every(([path, entry]) => {
    if (!path.includes('node_modules/')) return true;
    if (installed[path] === undefined) return entry.optional === true;
    return entry.link === true || installed[path].version === entry.version;
  });
}

/** `npm install` and not `npm ci`: it keeps what is there, and accepts a lock file that lacks other platforms' binaries. */
async function installPackages(note) {
  const wanted = hashFiles([LOCKFILE]);
  const npm = process.env.npm_execpath?.endsWith('npm-cli.js')
    ? [process.execPath, process.env.npm_execpath]
    : ['npm'];
  await runQuietly(
    [...npm, 'install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'],
    note,
  );
  writeStamp(PACKAGES_STAMP, wanted);
}

/* native addon */

function addonIsCurrent() {
  return existsSync(addonFile()) && readStamp(ADDON_STAMP) === hashFiles(nativeSources());
}

function nativeSources() {
  const found = [];
  const visit = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (['target', 'node_modules', 'tests', 'benches'].includes(entry.name)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (/\.(rs|toml|lock)$/.test(entry.name)) found.push(path);
    }
  };
  visit(NATIVE);
  return found.sort();
}

async function buildAddon(cargo, note) {
  const wanted = hashFiles(nativeSources());
  const env = { ...process.env, PATH: `${dirname(cargo)}${delimiter}${process.env.PATH}` };
  const manifest = join(NATIVE, 'Cargo.toml');
  await runQuietly(
    [cargo, 'build', '--release', '--locked', '-p', 'dynamo-native', '--manifest-path', manifest],
    note,
    env,
  );
  const target = process.env.CARGO_TARGET_DIR ?? join(NATIVE, 'target');
  const built = join(target, 'release', LIBRARY_NAMES[process.platform] ?? LIBRARY_NAMES.linux);
  // Renamed into place: a process that runs on the old file keeps it, a copy over it would crash that process.
  const fresh = `${addonFile()}.${process.pid}`;
  copyFileSync(built, fresh);
  renameSync(fresh, addonFile());
  writeStamp(ADDON_STAMP, wanted);
}

const LIBRARY_NAMES = { linux: 'libdynamo_native.so', darwin: 'libdynamo_native.dylib' };

/** Where native/node/index.js looks for the addon on this machine. */
function addonFile() {
  const abi = process.platform === 'linux' ? (isMusl() ? '-musl' : '-gnu') : '';
  return join(NATIVE, 'node', `dynamo-native.${process.platform}-${process.arch}${abi}.node`);
}

function isMusl() {
  return existsSync('/etc/alpine-release');
}

function findCargo() {
  const folders = [...(process.env.PATH ?? '').split(delimiter), join(homedir(), '.cargo/bin')];
  const found = folders.map((folder) => join(folder, 'cargo')).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new SetupError(
    'Rust is needed to build the native addon and cargo was not found: install it from https://rustup.rs',
  );
}

/* running, stamps, lock */

const running = new Set();
let stopping = false;

/** Ends all commands, then this process and with it the lock: no npm that outlives Ctrl-C meets that of the next start. */
async function stop(signal) {
  if (stopping) return;
  stopping = true;
  await endRunning(signal);
  process.exit(128 + constants.signals[signal]);
}

async function endRunning(signal) {
  // One that has just ended tells so no second time.
  const alive = [...running].filter(
    (child) => child.exitCode === null && child.signalCode === null,
  );
  const exits = alive.map((child) => new Promise((resolve) => child.once('exit', resolve)));
  for (const child of alive) child.kill(signal);
  const force = setTimeout(() => {
    for (const child of alive) child.kill('SIGKILL');
  }, STOP_GRACE_MS);
  await Promise.all(exits);
  clearTimeout(force);
}

/** Runs a command, shows its last line as progress and its output only when it fails. */
async function runQuietly(command, note, env = process.env) {
  const child = spawn(command[0], command.slice(1), {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const take = (chunk) => {
    output = (output + chunk).slice(-20_000);
    note(output.trimEnd().split('\n').at(-1).trim());
  };
  child.stdout.setEncoding('utf8').on('data', take);
  child.stderr.setEncoding('utf8').on('data', take);
  running.add(child);
  const code = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  })
    .catch((error) => {
      throw new SetupError(`cannot run ${command[0]}: ${error.message}`);
    })
    .finally(() => running.delete(child));
  if (stopping) await new Promise(() => {});
  if (code !== 0) throw new SetupError(`${output.trimEnd()}\n\nfailed: ${command.join(' ')}`);
}

function hashFiles(paths) {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`);
  for (const path of paths) hash.update(`${relative(ROOT, path)}\n`).update(readFileSync(path));
  return hash.digest('hex');
}

function readStamp(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

function writeStamp(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Holds the checkout's lock while `work` runs; a lock whose owner is gone is taken over. */
async function withLock(work) {
  mkdirSync(dirname(LOCK), { recursive: true });
  let told = false;
  while (!tryLock()) {
    if (!told) process.stderr.write('another set-up of this checkout is running; waiting for it\n');
    told = true;
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
  }
  const release = () => rmSync(LOCK, { force: true });
  process.once('exit', release);
  try {
    await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

function tryLock() {
  try {
    writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (!ownerIsAlive()) rmSync(LOCK, { force: true });
    return false;
  }
}

function ownerIsAlive() {
  try {
    const owner = Number(readFileSync(LOCK, 'utf8'));
    if (owner > 0) process.kill(owner, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await setup();
