/** One value of a policy file that knows where it stands, so that every complaint names file, line and path. */
import { DynamoError } from '@dynamo-ts/base';
import type * as Yaml from 'yaml';

/** The file that nodes belong to. */
export interface PolicySource {
  readonly file: string;
  readonly yaml: typeof Yaml;
  readonly document: Yaml.Document;
  readonly lines: Yaml.LineCounter;
}

/** Bounds of a number. */
export interface NumberRange {
  /** Least value. */
  readonly min: number;
  /** Whether `min` itself is refused. */
  readonly isExclusive?: boolean;
  readonly max?: number;
  readonly isInteger?: boolean;
}

/** A value with its path, for example `policy_classes[2].quantum`. */
export class PolicyNode {
  readonly path: string;
  readonly #source: PolicySource;
  readonly #node: unknown;
  readonly #line: number;

  constructor(source: PolicySource, node: unknown, path = '', line = 1) {
    this.path = path;
    this.#source = source;
    this.#node = source.yaml.isAlias(node) ? node.resolve(source.document) : node;
    this.#line = this.#lineOf(node) ?? line;
  }

  /** The error for this value. */
  invalid(problem: string): DynamoError {
    const subject = this.path === '' ? '' : `${this.path} `;
    const text = `${this.#source.file}:${this.#line}: ${subject}${problem}`;
    return new DynamoError('config.invalid', text);
  }

  /** Values of a mapping by key. @throws `config.invalid` for a key that is not among `known` */
  fields<Key extends string>(known: readonly Key[]): Partial<Record<Key, PolicyNode>> {
    const fields: Partial<Record<Key, PolicyNode>> = {};
    for (const [name, node] of this.entries()) {
      const key = known.find((each) => each === name);
      if (key === undefined)
        throw node.invalid(`is unknown; use one of ${known.join(', ')}, or remove it`);
      fields[key] = node;
    }
    return fields;
  }

  /** Keys and values of a mapping. */
  entries(): readonly (readonly [string, PolicyNode])[] {
    const { yaml } = this.#source;
    const node = this.#node;
    if (!yaml.isMap(node)) throw this.invalid('must be a mapping of names to values');
    return node.items.map(({ key, value }) => {
      const name = String(key);
      const path = this.path === '' ? name : `${this.path}.${name}`;
      return [name, this.#child(value, path, this.#lineOf(key))];
    });
  }

  /** Values of a list. */
  items(): readonly PolicyNode[] {
    const node = this.#node;
    if (!this.#source.yaml.isSeq(node)) throw this.invalid('must be a list');
    return node.items.map((item, index) => this.#child(item, `${this.path}[${index}]`));
  }

  /** A non-empty text. */
  text(): string {
    const value = this.#scalar();
    if (typeof value === 'string' && value.trim() !== '') return value.trim();
    if (typeof value === 'number') return String(value);
    throw this.invalid('must be a name');
  }

  /** One of some texts. */
  oneOf<Choice extends string>(choices: readonly Choice[]): Choice {
    const text = this.text();
    const choice = choices.find((each) => each === text);
    if (choice === undefined) throw this.invalid(`is "${text}"; use ${choices.join(', ')}`);
    return choice;
  }

  /** A number of the range. */
  number(range: NumberRange): number {
    const value = this.#scalar();
    if (typeof value === 'number' && isWithin(value, range)) return value;
    const { min, isExclusive = false, max, isInteger = false } = range;
    const kind = isInteger ? 'a whole number' : 'a number';
    const from = `${isExclusive ? 'above' : 'from'} ${min}`;
    const upTo = max === undefined ? '' : ` up to ${max}`;
    const given = typeof value === 'number' ? value : JSON.stringify(value);
    throw this.invalid(`is ${given}; use ${kind} ${from}${upTo}`);
  }

  #scalar(): unknown {
    return this.#source.yaml.isScalar(this.#node) ? this.#node.value : undefined;
  }

  #child(node: unknown, path: string, line = this.#line): PolicyNode {
    return new PolicyNode(this.#source, node, path, line);
  }

  #lineOf(node: unknown): number | undefined {
    const { yaml, lines } = this.#source;
    const start = yaml.isNode(node) ? node.range?.[0] : undefined;
    return start === undefined ? undefined : lines.linePos(start).line;
  }
}

function isWithin(value: number, { min, isExclusive, max, isInteger }: NumberRange): boolean {
  if (!Number.isFinite(value)) return false;
  if (isExclusive === true ? value <= min : value < min) return false;
  if (max !== undefined && value > max) return false;
  return isInteger !== true || Number.isSafeInteger(value);
}
