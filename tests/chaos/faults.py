# SPDX-License-Identifier: MIT
"""What is done to a bus in a round: chosen by the seed alone, and carried out."""

import heapq
import itertools
import os
import random
import signal
import sys
import time

from harness import PATIENCE_S
from ledger import END

ROUND_S = 2.5
PRODUCERS = 4
READERS = 2
FILLED = "/dev/shm/filled"

# The names of the faults, and how often each is chosen; those of the second list also happen
# while shared memory is full, when an agent that ends would take with it what found no room.
AGENT_ENDS = {"agent_kill": 6, "agent_restart": 2, "agent_handover": 3}
OTHERS = {"producer_kill": 5, "producer_end": 2, "producer_stop": 3, "agent_stop": 2,
          "agent_starve": 1, "agent_second": 1, "reader_kill": 2, "reader_stop": 2, "burn": 1}


def producer_plan(choice):
    """Options of a producer."""
    sessions = choice.randint(1, 6)
    life_ms = choice.choice((0, 40, 150, 600))
    return {"sessions": sessions, "entries": sessions if life_ms == 0 else sessions * 6,
            "ring": choice.choice((64, 1024, 16384)), "rate": choice.choice((300, 2000, 8000)),
            "life_ms": life_ms}


def round_plan(seed, number, may_fill):
    """What happens in a round: the same for the same seed and number, whatever happened before."""
    choice = random.Random(f"{seed}/{number}")
    full = choice.random() < 0.2 and may_fill
    pool = OTHERS if full else {**OTHERS, **AGENT_ENDS}
    faults = []
    for _ in range(choice.randint(4, 12)):
        name = choice.choices(list(pool), list(pool.values()))[0]
        faults.append((round(choice.random() * ROUND_S, 3), name,
                       {"slot": choice.randrange(12), "for_s": round(choice.random() * 0.6, 3),
                        "times": choice.choice((1, 1, 1, 2, 5)),
                        "producer": producer_plan(choice)}))
    if full:
        faults.append((round(choice.random(), 3), "full",
                       {"for_s": 0.3 + round(choice.random(), 3),
                        "spare": choice.choice((0, 20000, 300000))}))
    return {"producers": [producer_plan(choice) for _ in range(PRODUCERS)],
            "faults": sorted(faults, key=lambda fault: fault[:2])}


class Round:
    def __init__(self, harness, readers, number, say):
        self.harness = harness
        self.readers = readers
        self.number = number
        self.say = say
        self.later = []  # (when, a number to tell equal times apart, what ends a fault)
        self.numbers = itertools.count()
        self.filled = False

    def run(self, plan):
        start = time.monotonic()
        self.harness.meanwhile = self.end_what_is_over
        while len(self.harness.producers) < PRODUCERS:
            self.harness.producer(**plan["producers"][len(self.harness.producers)])
        while len(self.readers) < READERS:
            self.readers.append(self.harness.reader())
        for at, name, details in plan["faults"]:
            self.wait(start + at)
            self.say(f"round {self.number}, {time.monotonic() - start:.3f} s: {name}")
            getattr(self, name)(**details)
        self.wait(start + ROUND_S)
        while self.later:
            self.wait(self.later[0][0])

    def wait(self, when):
        """Until then, ending what is over before."""
        while self.later and self.later[0][0] <= when:
            at, _, end = heapq.heappop(self.later)
            self.harness.look_until(at)
            end()
        self.harness.look_until(when)

    def end_what_is_over(self):
        """A fault that waits for what another one prevents must not outwait it: no agent publishes
        while shared memory is full."""
        while self.later and self.later[0][0] <= time.monotonic():
            heapq.heappop(self.later)[2]()

    def after(self, seconds, end):
        heapq.heappush(self.later, (time.monotonic() + seconds, next(self.numbers), end))

    @staticmethod
    def signal(process, number):
        if process.poll() is None:
            process.send_signal(number)

    # ---- producers ----

    def producer_kill(self, slot, producer, **_):
        index = slot % PRODUCERS
        self.harness.producers[index].kill()
        self.harness.producer(**producer)
        self.harness.producers[index] = self.harness.producers.pop()

    def producer_end(self, slot, **_):
        producer = self.harness.producers[slot % PRODUCERS]
        producer.send(signal.SIGCONT)
        producer.ledger.command(END)

    def producer_stop(self, slot, for_s, **_):
        producer = self.harness.producers[slot % PRODUCERS]
        producer.send(signal.SIGSTOP)
        self.after(for_s, lambda: producer.send(signal.SIGCONT))

    # ---- the agent ----

    def agent_kill(self, times, for_s, slot, **_):
        """Some die while they start, some later; the last one lives."""
        for _ in range(times):
            self.harness.agent_kill()
            if slot % 3 == 0:
                time.sleep(for_s / 2)  # nobody drains
            self.harness.agent_start()
            if times > 1:
                time.sleep(for_s / 8)

    def agent_restart(self, **_):
        self.harness.agent_stop()
        self.harness.agent_start()

    def agent_handover(self, **_):
        old = self.harness.agent_ready()
        self.harness.agent_start("--handover")
        self.harness.expect(old.wait(PATIENCE_S) == 0,
                            f"after a handover the old agent's status is {old.returncode}")

    def agent_second(self, **_):
        """One more agent says whose the bus is, and ends."""
        first = self.harness.agent_ready()
        second = self.harness.agent_start()
        self.harness.agents_started -= 1
        self.harness.agent = first
        self.harness.expect(second.wait(PATIENCE_S) == 1,
                            f"the status of a second agent is {second.returncode}")

    def agent_stop(self, for_s, **_):
        agent = self.harness.agent
        self.signal(agent, signal.SIGSTOP)
        self.after(for_s, lambda: self.signal(agent, signal.SIGCONT))

    def agent_starve(self, **_):
        """A tenth of the time that it needs."""
        agent = self.harness.agent
        for _ in range(20):
            self.signal(agent, signal.SIGSTOP)
            time.sleep(0.018)
            self.signal(agent, signal.SIGCONT)
            time.sleep(0.002)

    # ---- readers ----

    def reader_kill(self, slot, **_):
        index = slot % READERS
        self.harness.expect(self.readers[index].poll() is None, "a reader ended by itself")
        self.readers[index].kill()
        self.readers[index].wait()
        self.readers[index] = self.harness.reader()

    def reader_stop(self, slot, for_s, **_):
        reader = self.readers[slot % READERS]
        self.signal(reader, signal.SIGSTOP)
        self.after(for_s, lambda: self.signal(reader, signal.SIGCONT))

    # ---- the machine ----

    def burn(self, for_s, times, **_):
        burners = [self.harness.spawn(sys.executable, "-c", "while True: pass")
                   for _ in range(2 + times)]
        self.after(for_s, lambda: [burner.kill() for burner in burners])

    def full(self, for_s, spare, **_):
        """All of shared memory but a little is taken."""
        with open(FILLED, "wb", buffering=0) as file:
            try:
                while file.write(bytes(65536)):
                    pass
            except OSError:
                pass
            file.truncate(max(0, file.tell() - spare))
        self.filled = True
        self.after(for_s, lambda: os.unlink(FILLED))
