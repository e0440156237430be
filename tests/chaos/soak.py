#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sessions come and go for a long time, and the agent does not grow.

Tides: for some seconds producers open, record into and close sessions, one after the other, some
are killed, and a reader looks; then all end, and when the last session has left (--ttl), what the
agent holds is measured. After the first tide, nothing may be more in the second half of the tides
than it was in the first, but for the slack that MEASURES gives; and at each low tide all counts are
the producers' own, to the unit. So is what a log wrote meanwhile: a line for each session, no
second one, and intervals that add up to all that was recorded.
"""

import argparse
import os
import random
import sys
import time

from harness import Failed, Harness
from ledger import PassingBook
from lines import Lines

BUS = os.environ.get("SHMBUS_BUS") or f"soak{os.getpid()}"
FLOOD_S = 5
PRODUCERS = 4
KIB, MIB = 1 << 10, 1 << 20

# What is measured, and how much more of it there may be in the second half: the allocator's
# fragments and the high-water marks of the files depend on how many sessions met. A descriptor or a
# mapping that is not given back shows in a minute, some bytes a session after some hours.
MEASURES = {"rss_anon_kib": 2 * KIB, "rss_shm_kib": 2 * KIB, "descriptors": 0, "mappings": 6,
            "threads": 0, "files": 0, "checkpoint_bytes": 2 * MIB, "snapshot_bytes": 2 * MIB}


def status_kib(pid, key):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))


def measure(harness, pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        mappings = sum(1 for _ in maps)
    return {"rss_anon_kib": status_kib(pid, "RssAnon:"),
            "rss_shm_kib": status_kib(pid, "RssShmem:"),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "mappings": mappings,
            "threads": status_kib(pid, "Threads:"),
            "files": len(harness.files()),
            "checkpoint_bytes": sum(os.stat(f).st_size for f in harness.files("checkpoint")),
            "snapshot_bytes": sum(os.stat(f).st_size for f in harness.files("snapshot"))}


def judge(tides):
    """What grew. The first tide is the warm-up."""
    tides = tides[1:]
    half = len(tides) // 2
    found = []
    for key, slack in MEASURES.items():
        first = max(tide[key] for tide in tides[:half])
        second = max(tide[key] for tide in tides[half:])
        if second > first + slack:
            found.append(f"{key}: {first} in the first half, {second} in the second, "
                         f"more than {slack} apart")
    return found


def flood(harness, choice, options):
    """Producers that end are followed by others; every second or so one is killed."""
    end = time.monotonic() + FLOOD_S
    while time.monotonic() < end:
        harness.producers = [producer for producer in harness.producers if not producer.ended()]
        while len(harness.producers) < PRODUCERS:
            harness.producer(sessions=options.sessions, entries=options.sessions * 10, rate=1000,
                             ring=choice.choice((256, 4096)), life_ms=options.life)
        harness.look_until(time.monotonic() + choice.random())
        if choice.random() < options.agent_kills / FLOOD_S:
            harness.agent_kill()
            harness.agent_start()
        choice.choice(harness.producers).kill()
        harness.settle_dead("the killed producer's sessions")


def soak(options):
    choice = random.Random(options.seed)
    tides = []
    end = time.monotonic() + options.minutes * 60
    with Harness(BUS, "--ttl", "3s") as harness:
        harness.book = PassingBook()
        try:
            harness.agent_start()
            harness.wait_published(1)
            reader = harness.reader()
            lines = Lines(harness)
            while time.monotonic() < end or len(tides) < 5:
                flood(harness, choice, options)
                harness.settle_empty()
                lines.settle(harness.book)
                lines.rotate()
                tides.append(measure(harness, harness.agent.pid))
                retired = harness.book.retired
                print(f"# tide {len(tides)}: {sum(retired.outcomes.values())} sessions, "
                      f"{retired.recorded} samples, {len(lines.seen)} sessions in the log; " +
                      ", ".join(f"{key} {value}" for key, value in tides[-1].items()), flush=True)
            found = judge(tides)
            harness.expect(not found, "\n".join(found))
            harness.expect(reader.poll() is None, "the reader ended by itself")
            lines.end(harness.book)
        except Failed as failure:
            print(f"FAILED after {len(tides)} tides of seed {options.seed}:\n{failure}\n"
                  f"the agent said:\n{harness.agent_said()[-4000:]}")
            return 1
    return 0


def main(arguments):
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1, metavar="N", help="480: a night")
    parser.add_argument("--seed", type=int, default=int(time.time()), metavar="S")
    parser.add_argument("--sessions", type=int, default=6, metavar="N", help="of each producer")
    parser.add_argument("--agent-kills", type=float, default=0, metavar="N",
                        help="of agents too, so many in a tide")
    parser.add_argument("--life", type=int, default=300, metavar="MS", help="of a session")
    return soak(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
