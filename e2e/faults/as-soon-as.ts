const LIMIT_MS = 60_000;

/**
 * Asks again and again without a pause, because what comes next is measured or must be early.
 *
 * @throws Error when it does not hold within a minute
 */
export async function asSoonAs(holds: () => Promise<boolean>, what: string): Promise<void> {
  const deadlineMs = performance.now() + LIMIT_MS;
  while (!(await holds()))
    if (performance.now() > deadlineMs) throw new Error(`${what}: not within ${LIMIT_MS / 1000} s`);
}
