#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hurts a whole bus - agent, producers, readers, machine - and holds it to its account.

In each round producers record while programs are killed, stopped, restarted, and shared memory is
full. Then the producers pause, and to the unit

    attempted = aggregated + dropped + in flight (0 or 1, of a killed producer's writer)

with count, sum, min, max and every bucket of each session and of the totals equal to the ledgers
that the producers keep outside of the bus. All the while no total goes back, and the snapshots'
numbers and the agents' incarnations go on. The seed decides what happens in a round and when; what
the processors do meanwhile it does not.

    chaos.py [--rounds N] [--seed S]    N rounds (20)
    chaos.py storm [--seconds N]        100 sessions with 8 kHz, their agent killed every 200 ms
    chaos.py comers [--seconds N]       sessions open, their agent is killed, their segments removed
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import time

import faults
from harness import Failed, Harness

BUS = os.environ.get("SHMBUS_BUS") or f"chaos{os.getpid()}"
OWN_SHM = "SHMBUS_CHAOS_OWN_SHM"
SHM_BYTES = 128 << 20
KILL_EVERY_S = 0.2


def say(line):
    print(f"# {line}", flush=True)


def shm_own():
    """Goes on in a mount namespace with a small /dev/shm of its own, where that is allowed."""
    inside = ["unshare", "-m", "sh", "-c",
              f'mount -t tmpfs -o size={SHM_BYTES} none /dev/shm && exec "$@"', "sh"]
    if OWN_SHM in os.environ:
        return True
    try:
        allowed = subprocess.run([*inside, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    if allowed.returncode != 0:
        return False
    os.environ[OWN_SHM] = "1"
    os.execvp("unshare", [*inside, sys.executable, *sys.argv])


def rounds(harness, options):
    readers = []
    harness.agent_start()
    harness.wait_published(1)
    for options.round in range(options.rounds):
        once = faults.Round(harness, readers, options.round, say if options.verbose else str)
        once.run(faults.round_plan(options.seed, options.round, options.may_fill))
        harness.pause()
        seen = harness.settle()
        if once.filled:
            checkpoint_catches_up(harness)
        harness.go_on()
        say(f"round {options.round}: {seen['totals']['sessions_total']} sessions, "
            f"{seen['totals']['sessions_lost']} lost, {seen['agent']['samples_total']} samples, "
            f"{seen['agent']['dropped_total']} dropped, agent {seen['agent']['incarnation']}")
    harness.end()
    harness.settle()
    harness.wait_removed()
    harness.agent_stop()


def checkpoint_catches_up(harness):
    """After shared memory was full: until there was room for everything at two ticks."""
    seen = []

    def has_room():
        agent = harness.snapshot()["agent"]
        seen.append((agent["checkpoint_failures"], harness.watch.seq))
        same = [seq for failures, seq in seen if failures == seen[-1][0]]
        return same[-1] >= same[0] + 3

    harness.wait_for(has_room, "room in the checkpoint")


def storm(harness, options):
    """Nothing may be lost, and on a machine with time to spare nothing dropped."""
    kills = 0
    harness.agent_start()
    harness.wait_published(1)
    harness.producer(sessions=100, rate=8000)
    start = time.monotonic()
    while (now := time.monotonic()) < start + options.seconds:
        time.sleep(KILL_EVERY_S - (now - start) % KILL_EVERY_S)
        harness.agent_check()
        harness.agent_kill()
        harness.agent_start()
        kills += 1
    harness.pause()
    seen = harness.settle()
    samples, dropped = (seen["agent"][key] for key in ("samples_total", "dropped_total"))
    say(f"{kills} agents killed, {samples} samples aggregated, {dropped} dropped, 0 lost")
    harness.expect(samples > 0, "nothing was recorded")
    harness.expect(dropped == 0 or options.may_drop, f"{dropped} were dropped")
    harness.go_on()
    harness.end()
    harness.settle()


def comers(harness, options):
    """Hundreds of sessions a second open. When their agent is killed their segments are removed, so
    that the next agent has them from its checkpoint alone: it knows whom a snapshot has counted."""
    kills = 0
    choice = random.Random(options.seed)
    harness.agent_start("--interval", "20ms")
    harness.wait_published(1)
    start = time.monotonic()
    while time.monotonic() < start + options.seconds:
        harness.go_on()
        while len(harness.producers) < 2:
            harness.producer(sessions=20, entries=400, ring=64, rate=10, life_ms=50)
        time.sleep(choice.random() * KILL_EVERY_S / 2)
        harness.agent_check()
        harness.agent_kill()
        for path in harness.files("s."):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        harness.agent_start("--interval", "20ms")
        kills += 1
    harness.wait_published(1)
    say(f"{kills} agents killed, {harness.watch.totals['sessions_total']} sessions")


def run(scenario, options, *agent_options):
    """Returns the exit status."""
    options.round = 0
    with Harness(BUS, *agent_options) as harness:
        try:
            scenario(harness, options)
        except (Failed, subprocess.TimeoutExpired) as failure:
            print(f"FAILED in round {options.round} of seed {options.seed}:\n{failure}\n"
                  f"the agents said:\n{harness.agent_said()[-4000:]}")
            if scenario is rounds:
                print("again, with the same decisions: "
                      f"./dev chaos --seed {options.seed} --rounds {options.round + 1}")
            return 1
    return 0


def parse(arguments):
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("rounds", "storm", "comers"),
                        default="rounds")
    parser.add_argument("--rounds", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=int(time.time()), metavar="S")
    parser.add_argument("--seconds", type=float, default=60, metavar="N", help="not of the rounds")
    parser.add_argument("--may-drop", action="store_true",
                        help="a storm on a busy machine: full rings are no failure")
    parser.add_argument("--verbose", action="store_true", help="say what happens when")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    if options.what == "storm":
        return run(storm, options)
    if options.what == "comers":
        return run(comers, options, "--ttl", "0s")
    sys.argv += ["--seed", str(options.seed)]
    options.may_fill = shm_own()
    say(f"seed {options.seed}, {options.rounds} rounds, on the bus {BUS}" +
        ("" if options.may_fill else "; no right to mount: /dev/shm is never full"))
    return run(rounds, options, "--ttl", "5m")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
