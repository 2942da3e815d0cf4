/** Frontends and routers that die: the others lose nothing, and nothing stays behind. */
import { setTimeout as delay } from 'node:timers/promises';

import { eventually } from '@dynamo-ts/testing';

import { MODEL, post } from '../completion.ts';
import { Fleet } from '../fleet.ts';
import { Load, MIXED_BODIES } from '../load.ts';
import { outcomeOf, unless } from '../outcome.ts';
import { bySize } from '../scenario.ts';
import type { Scenario } from '../scenario.ts';

const ORPHANS = 20;
const ACTIVE_BOOKINGS = 'dynamo_component_router_active_requests';

/** SIGKILL of a frontend. */
export const FRONTEND_KILLED: Scenario = {
  name: 'frontend-killed',
  load: `8 clients on one frontend, ${ORPHANS} long streams on the other`,
  fault: 'SIGKILL of the other frontend',
  assertion:
    'the clients of the first notice nothing; the engines give up the requests of the other within 1 s; no booking stays behind',
  alone: true,
  async run() {
    await using fleet = await Fleet.start({ frontends: 2, routers: 1, workers: 2 });
    const [kept = '', lost = ''] = fleet.urls;
    const load = await Load.start({ urls: [kept], clients: 8, bodies: MIXED_BODIES });
    for (let seed = 0; seed < ORPHANS; seed += 1) {
      const body = { model: MODEL, prompt: 'orphan', max_tokens: 5000, seed, stream: true };
      const response = await post(lost, body);
      // The frontend's end breaks the stream; that is what happens here.
      response.text().catch(() => undefined);
    }
    await eventually(async () => (await fleet.inFlight()) >= ORPHANS, { what: 'orphans run' });
    await fleet.one('frontend', 1).kill();
    const killedMs = performance.now();
    await eventually(async () => (await fleet.inFlight()) < ORPHANS / 2 + 8, {
      timeoutMs: 20_000,
      what: 'the engines give up what the dead frontend asked for',
    });
    const recoverySeconds = (performance.now() - killedMs) / 1000;
    const counts = await load.stop();
    // The router waits a little for a renewal by a frontend that only lost its connection.
    await eventually(async () => (await fleet.one('router').metric(ACTIVE_BOOKINGS)) === 0, {
      timeoutMs: 20_000,
      what: 'no booking stays behind',
    });
    const freedSeconds = (performance.now() - killedMs) / 1000;
    return outcomeOf(counts, {
      recoverySeconds,
      problems: [
        ...unless(recoverySeconds < 1, `the engines went on for ${recoverySeconds.toFixed(1)} s`),
      ],
      notes: [`the router had given back its bookings ${freedSeconds.toFixed(1)} s after the kill`],
    });
  },
};

/** SIGKILL of router services, one of two and the only one. */
export const ROUTER_KILLED: Scenario = {
  name: 'router-killed',
  outage: 6,
  load: '10 clients on two frontends',
  fault: 'SIGKILL of one of two routers, then of the other one, then both are started again',
  assertion:
    'no request fails; without a router the frontends place by themselves and return to it',
  async run({ size, progress }) {
    const rounds = bySize(size, { short: 2, long: 10 });
    await using fleet = await Fleet.start({ frontends: 2, routers: 2, workers: 3 });
    const load = await Load.start({ urls: fleet.urls, clients: 10, bodies: MIXED_BODIES });
    const [first, second] = fleet.all('router');
    let slowest = 0;
    for (let round = 0; round < rounds; round += 1) {
      await first?.kill();
      await delay(1000);
      await second?.kill();
      await delay(2000);
      await Promise.all([first?.start(), second?.start()]);
      const backMs = performance.now();
      await eventually(
        async () =>
          ((await first?.metric('dynamo_component_router_requests_started_total')) ?? 0) > 0,
        { timeoutMs: 30_000, what: 'the router is asked again' },
      );
      slowest = Math.max(slowest, performance.now() - backMs);
      progress(`${round + 1} of ${rounds} rounds`);
    }
    const counts = await load.stop();
    const fallbacks = await fleet
      .one('frontend')
      .metric('dynamo_frontend_placement_fallback_total');
    return outcomeOf(counts, {
      recoverySeconds: slowest / 1000,
      notes: [`${fallbacks} requests placed without a router by the first frontend`],
      problems: unless(fallbacks > 0, 'no request was placed without a router'),
    });
  },
};
