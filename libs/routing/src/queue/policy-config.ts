/** The file of `--router-policy-config`: a profile for all models, and profiles that replace it for some (RP 4.6). */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { DynamoError, failureReason } from '@dynamo-ts/base';
import type * as Yaml from 'yaml';

import { PolicyNode } from './policy-node.ts';
import { DEFAULT_QUANTUM, QUEUE_POLICIES } from './policy-profile.ts';
import type { PolicyClass, PolicyProfile, UncachedBucket } from './policy-profile.ts';

/** Profiles by model. */
export interface PolicyConfig {
  /** Profile of a model that has none of its own; undefined when the file names certain models only. */
  readonly root: PolicyProfile | undefined;
  readonly models: ReadonlyMap<string, PolicyProfile>;
}

const PROFILE_KEYS = ['default_policy_family', 'uncached_isl_buckets', 'policy_classes'] as const;
const CLASS_KEYS = [
  'name',
  'policy_family',
  'cache_bucket',
  'queue_policy',
  'quantum',
  'prefill_busy_threshold',
  'prefill_busy_threshold_frac',
  'busy_worker_ratio',
  'request_queue_limit_per_worker',
  'raw_isl_token_queue_limit_per_worker',
  'cached_token_queue_limit_per_worker',
  'admission',
] as const;

type ClassFields = Partial<Record<(typeof CLASS_KEYS)[number], PolicyNode>>;

/** Reads a policy file. @throws `config.invalid` naming file, line and path */
export function readPolicyConfig(file: string): PolicyConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const message = `cannot read the policy file ${file} (--router-policy-config): ${failureReason(cause)}`;
    throw new DynamoError('config.invalid', message, { cause });
  }
  return parsePolicyConfig(text, file);
}

/** Reads the text of a policy file. @throws `config.invalid` naming file, line and path */
export function parsePolicyConfig(text: string, file: string): PolicyConfig {
  // Loaded here because most routers have no policy file.
  const yaml = createRequire(import.meta.url)('yaml') as typeof Yaml; // what the module's types say
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line } = lines.linePos(error.pos[0]);
    throw new DynamoError('config.invalid', `${file}:${line}: ${error.message}`);
  }
  const root = new PolicyNode({ file, yaml, document, lines }, document.contents);
  const { models, ...profile } = root.fields([...PROFILE_KEYS, 'models']);
  const isRootThere = Object.keys(profile).length > 0;
  if (!isRootThere && models === undefined)
    throw root.invalid(`says nothing; give ${PROFILE_KEYS.join(', ')}, or models`);
  return {
    root: isRootThere ? parseProfile(root, [...PROFILE_KEYS, 'models']) : undefined,
    models: new Map(
      models?.entries().map(([name, node]) => [name, parseProfile(node, PROFILE_KEYS)]),
    ),
  };
}

/** Profile of a model; undefined when the file says nothing about it. */
export function profileFor(config: PolicyConfig, model: string): PolicyProfile | undefined {
  return config.models.get(model) ?? config.root;
}

function parseProfile(node: PolicyNode, known: readonly string[]): PolicyProfile {
  const fields = node.fields(known);
  const [family, buckets, classes] = PROFILE_KEYS.map((key) => required(node, fields[key], key));
  if (family === undefined || buckets === undefined || classes === undefined)
    throw new TypeError('a required field is missing');
  const profile: PolicyProfile = {
    defaultFamily: family.text(),
    buckets: parseBuckets(buckets),
    classes: parseClasses(classes),
  };
  checkFamilies(classes, profile);
  if (!profile.classes.some((each) => each.family === profile.defaultFamily)) {
    const families = [...familiesOf(profile)].join(', ');
    throw family.invalid(
      `is "${profile.defaultFamily}", which no class has as policy_family; use one of: ${families}`,
    );
  }
  return profile;
}

function required(parent: PolicyNode, node: PolicyNode | undefined, key: string): PolicyNode {
  if (node === undefined) throw parent.invalid(`lacks ${key}; add it`);
  return node;
}

function parseBuckets(node: PolicyNode): readonly UncachedBucket[] {
  const buckets: UncachedBucket[] = [];
  for (const item of node.items()) {
    const { min_tokens, bucket } = item.fields(['min_tokens', 'bucket']);
    const floor = required(item, min_tokens, 'min_tokens');
    const minTokens = floor.number({ min: 0, isInteger: true });
    const last = buckets.at(-1);
    if (last === undefined && minTokens !== 0)
      throw floor.invalid(`is ${minTokens}; the first bucket must begin at 0`);
    if (last !== undefined && minTokens <= last.minTokens)
      throw floor.invalid(`is ${minTokens}; it must be above ${last.minTokens}, the bucket before`);
    const label = required(item, bucket, 'bucket');
    const name = label.text();
    if (buckets.some((each) => each.name === name))
      throw label.invalid(`is "${name}" again; give every bucket a name of its own`);
    buckets.push({ minTokens, name });
  }
  if (buckets.length === 0)
    throw node.invalid('is empty; give at least {min_tokens: 0, bucket: all}');
  return buckets;
}

function parseClasses(node: PolicyNode): readonly PolicyClass[] {
  const classes: PolicyClass[] = [];
  for (const item of node.items()) {
    const policyClass = parseClass(item);
    if (classes.some((each) => sameName(each.name, policyClass.name)))
      throw item.invalid(
        `is named "${policyClass.name}" like another class; give every class a name of its own`,
      );
    classes.push(policyClass);
  }
  return classes;
}

function parseClass(node: PolicyNode): PolicyClass {
  const fields = node.fields(CLASS_KEYS);
  if (fields.admission !== undefined)
    throw fields.admission.invalid('(session-aware admission) is not offered; remove it');
  if ((fields.policy_family === undefined) !== (fields.cache_bucket === undefined))
    throw node.invalid(
      'has only one of policy_family and cache_bucket; give both, or neither for a class that is chosen by name',
    );
  return {
    name: required(node, fields.name, 'name').text(),
    family: fields.policy_family?.text(),
    bucket: fields.cache_bucket?.text(),
    queuePolicy: fields.queue_policy?.oneOf(QUEUE_POLICIES) ?? 'fcfs',
    quantum: fields.quantum?.number({ min: 1, isInteger: true }) ?? DEFAULT_QUANTUM,
    busyWorkerRatio: fields.busy_worker_ratio?.number({ min: 0, isExclusive: true, max: 1 }) ?? 1,
    ...parseLimits(fields),
  };
}

function parseLimits(fields: ClassFields): Partial<PolicyClass> {
  const limit = { min: 0, isInteger: true };
  return {
    prefillBusyThreshold: fields.prefill_busy_threshold?.number(limit),
    prefillBusyThresholdFrac: fields.prefill_busy_threshold_frac?.number({ min: 0 }),
    requestLimitPerWorker: fields.request_queue_limit_per_worker?.number(limit),
    islTokenLimitPerWorker: fields.raw_isl_token_queue_limit_per_worker?.number(limit),
    cachedTokenLimitPerWorker: fields.cached_token_queue_limit_per_worker?.number(limit),
  };
}

/** Every request of every family must have exactly one class. */
function checkFamilies(node: PolicyNode, { buckets, classes }: PolicyProfile): void {
  for (const { name, bucket } of classes)
    if (bucket !== undefined && !buckets.some((each) => each.name === bucket))
      throw node.invalid(
        `gives class "${name}" the cache_bucket "${bucket}", which uncached_isl_buckets does not have; use one of: ${buckets.map((each) => each.name).join(', ')}`,
      );
  for (const family of familiesOf({ classes }))
    for (const bucket of buckets) {
      const own = classes.filter((each) => each.family === family && each.bucket === bucket.name);
      if (own.length === 1) continue;
      const remedy = own.length === 0 ? 'add one' : 'keep one of them';
      throw node.invalid(
        `has ${own.length} classes for policy_family "${family}" and cache_bucket "${bucket.name}"; ${remedy}`,
      );
    }
}

function familiesOf({ classes }: Pick<PolicyProfile, 'classes'>): ReadonlySet<string> {
  return new Set(classes.flatMap(({ family }) => (family === undefined ? [] : [family])));
}

function sameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}
