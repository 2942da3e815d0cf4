import type { PolicyClass, PolicyProfile } from './policy-profile.ts';

/** Class of a request, and whether the name that it gave means anything. */
export interface ResolvedClass {
  readonly policyClass: PolicyClass;
  readonly isKnown: boolean;
}

/** Finds the class of a request. Names are compared without case. */
export class ClassResolver {
  readonly #profile: PolicyProfile;
  readonly #explicit = new Map<string, PolicyClass>();
  /** By family, in the order of the buckets. */
  readonly #families = new Map<string, readonly PolicyClass[]>();

  constructor(profile: PolicyProfile) {
    this.#profile = profile;
    for (const policyClass of profile.classes) {
      const { name, family } = policyClass;
      if (family === undefined) this.#explicit.set(fold(name), policyClass);
      else if (!this.#families.has(fold(family)))
        this.#families.set(fold(family), classesByBucket(profile, family));
    }
  }

  /**
   * The class that a request waits in.
   *
   * @param name what the client asked for: an explicit class or a family
   * @param uncachedTokens asked only when it decides
   */
  resolve(name: string | undefined, uncachedTokens: () => number): ResolvedClass {
    const wanted = fold(name ?? '');
    const explicit = this.#explicit.get(wanted);
    if (explicit !== undefined) return { policyClass: explicit, isKnown: true };
    const family = this.#families.get(wanted);
    const buckets = family ?? this.#families.get(fold(this.#profile.defaultFamily)) ?? [];
    const policyClass = buckets[buckets.length > 1 ? this.#bucketOf(uncachedTokens()) : 0];
    if (policyClass === undefined) throw new TypeError('a policy profile without default class');
    return { policyClass, isKnown: wanted === '' || family !== undefined };
  }

  #bucketOf(uncachedTokens: number): number {
    return Math.max(
      0,
      this.#profile.buckets.findLastIndex(({ minTokens }) => uncachedTokens >= minTokens),
    );
  }
}

function classesByBucket(profile: PolicyProfile, family: string): readonly PolicyClass[] {
  const own = profile.classes.filter((each) => fold(each.family ?? '') === fold(family));
  return profile.buckets.flatMap(({ name }) => own.filter(({ bucket }) => bucket === name));
}

function fold(name: string): string {
  return name.trim().toLowerCase();
}
