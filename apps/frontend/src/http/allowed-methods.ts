/** Which methods a path has, so that a wrong one is told apart from a wrong path. */

/** Methods by path. */
export class AllowedMethods {
  readonly #routes: { readonly pattern: RegExp; readonly methods: readonly string[] }[] = [];

  /** A route was added; its path may hold `:name` and `*`. */
  add(path: string, methods: string | readonly string[]): void {
    this.#routes.push({ pattern: patternOf(path), methods: [methods].flat() });
  }

  /** Methods of a path, as the `Allow` header names them; empty for a path that does not exist. */
  of(url: string): readonly string[] {
    const path = url.split('?', 1)[0] ?? '';
    const routes = this.#routes.filter(({ pattern }) => pattern.test(path));
    return [...new Set(routes.flatMap(({ methods }) => methods))].sort();
  }
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
