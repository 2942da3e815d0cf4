/** Which methods a path has, so that a wrong one is told apart from a wrong path, and a wrong path from what was meant. */
import { suggestion } from '@dynamo-ts/base';

/** Looking for the like of a longer path would cost, and it is no misspelling. */
const LONGEST_MEANT = 64;

/** Methods by path. */
export class AllowedMethods {
  readonly #paths = new Set<string>();
  readonly #routes: { readonly pattern: RegExp; readonly methods: readonly string[] }[] = [];

  /** A route was added; its path may hold `:name` and `*`. */
  add(path: string, methods: string | readonly string[]): void {
    if (!/[:*]/.test(path)) this.#paths.add(path);
    this.#routes.push({ pattern: patternOf(path), methods: [methods].flat() });
  }

  /** Methods of a path, as the `Allow` header names them; empty for a path that does not exist. */
  of(url: string): readonly string[] {
    const path = pathOf(url);
    const routes = this.#routes.filter(({ pattern }) => pattern.test(path));
    return [...new Set(routes.flatMap(({ methods }) => methods))].sort();
  }

  /** `; did you mean '/v1/chat/completions'?` for a path that is almost one: without `/v1`, with a slash too many. */
  meant(url: string): string {
    const path = pathOf(url);
    return path.length > LONGEST_MEANT ? '' : suggestion(path, [...this.#paths]);
  }
}

function pathOf(url: string): string {
  return url.split('?', 1)[0] ?? '';
}

function patternOf(path: string): RegExp {
  const source = path
    .split(/(:\w+|\*)/)
    .map((part) => {
      if (part === '*') return '.+';
      return part.startsWith(':')
        ? '[^/]+'
        : part.replaceAll(/[$()+.?[\\\]^{|}]/g, String.raw`\$&`);
    })
    .join('');
  return new RegExp(`^${source}$`);
}
