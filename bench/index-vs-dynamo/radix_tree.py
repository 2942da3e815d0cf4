"""The peer's side: Dynamo's RadixTree through its Python binding. Prints one line of JSON."""

import argparse
import json
import resource
import time

from dynamo.llm import RadixTree

MASK = 2**64 - 1


def numbers(seed):
    """The same random numbers as the other side has (splitmix64)."""
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        mixed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        yield mixed ^ (mixed >> 31)


def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def prompts_of(args):
    random = numbers(42)
    prefixes = [[next(random) for _ in range(args.shared)] for _ in range(64)]
    for _ in range(args.blocks // args.prompt):
        local = list(prefixes[next(random) % 64])
        local += [next(random) for _ in range(args.prompt - args.shared)]
        yield next(random) % args.workers, local


def events_of(prompts, size):
    """One event of `size` blocks after the other; ids are dense per worker."""
    ids = {}
    for worker, local in prompts:
        parent = None
        for start in range(0, len(local), size):
            part = local[start : start + size]
            blocks = [{"block_hash": h ^ 0x5555, "tokens_hash": h} for h in part]
            ids[worker] = ids.get(worker, 0) + 1
            stored = {"parent_hash": parent, "blocks": blocks}
            event = {"event_id": ids[worker], "data": {"stored": stored}, "dp_rank": 0}
            yield worker, json.dumps(event).encode()
            parent = blocks[-1]["block_hash"]


def main():
    parser = argparse.ArgumentParser()
    for name in ("blocks", "prompt", "event", "shared", "workers", "lookups"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()

    prompts = list(prompts_of(args))
    events = list(events_of(prompts, args.event))
    before = resident_bytes()
    tree = RadixTree()
    wall, cpu = time.perf_counter(), time.process_time()
    for worker, event in events:
        tree.apply_event(worker, event)
    tree.find_matches(prompts[-1][1]).scores  # behind all events in the tree's queue
    apply_s, apply_cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    resident = resident_bytes() - before

    random = numbers(7)
    asked = [prompts[next(random) % len(prompts)][1] for _ in range(args.lookups)]
    wall, cpu = time.perf_counter(), time.process_time()
    found = 0
    for local in asked:
        found += max(tree.find_matches(local).scores.values())
    lookup_s, lookup_cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    print(
        json.dumps(
            {
                "applyS": apply_s,
                "applyCpuS": apply_cpu_s,
                "lookupS": lookup_s,
                "lookupCpuS": lookup_cpu_s,
                "residentBytes": resident,
                "foundBlocks": found,
            }
        )
    )


main()
