# SPDX-License-Identifier: MIT
"""A bus whose agent, producers and readers are real programs, started, hurt and watched."""

import glob
import json
import os
import signal
import subprocess
import tempfile
import time

from ledger import END, PAUSE, RUN, Book, Ledger
from watch import Watch

BIN = os.environ["SHMBUS_BIN"]
BUILD = os.environ["SHMBUS_BUILD"]
PATIENCE_S = 120  # for what happens at once on a machine that has nothing else to do
POLL_S = 0.05


class Failed(Exception):
    """Something that was promised did not hold."""


class Producer:
    def __init__(self, harness, name, sessions=1, entries=None, ring=0, rate=1000, life_ms=0):
        entries = entries or sessions
        self.ledger = Ledger(f"{harness.directory}/{name}", name, entries)
        self.process = harness.spawn(
            f"{BUILD}/tests/chaos_producer", "--name", name, "--ledger", self.ledger.path,
            "--sessions", str(sessions), "--entries", str(entries), "--ring", str(ring),
            "--rate", str(rate), "--life", str(life_ms))
        harness.book.ledgers.append(self.ledger)

    def ended(self):
        """Whether it is gone, for what reason ever."""
        if self.process.poll() is not None:
            self.ledger.dead = True
        return self.ledger.dead

    def send(self, number):
        if not self.ended():
            self.process.send_signal(number)

    def kill(self):
        self.send(signal.SIGKILL)
        self.process.wait()
        self.ended()


class Harness:
    """`with` it: at its end nothing is left of the bus."""

    def __init__(self, bus, *agent_options):
        self.agent_options = ("--interval", "50ms", *agent_options)
        self.env = dict(os.environ, SHMBUS_BUS=bus)
        self.files_pattern = f"/dev/shm/shmbus.{bus}."
        self.children = []
        self.agent = None
        self.agents_started = 0
        self.producers = []
        self.names = 0
        self.meanwhile = lambda: None  # what is due while something else is waited for
        self.book = Book()
        self.watch = Watch()

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="shmbus-chaos-")
        self.directory = self.temporary.name
        self.agent_log = open(f"{self.directory}/agent.log", "w+", encoding="utf-8")
        return self

    def __exit__(self, *unused):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        for path in self.files():
            os.unlink(path)
        self.agent_log.close()
        self.temporary.cleanup()

    def files(self, kind=""):
        return glob.glob(f"{self.files_pattern}{kind}*")

    # ---- programs ----

    def spawn(self, *command, **options):
        self.children = [child for child in self.children if child.poll() is None]
        options.setdefault("stderr", subprocess.DEVNULL)
        child = subprocess.Popen(command, env=self.env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, **options)
        self.children.append(child)
        return child

    def agent_start(self, *arguments):
        self.agents_started += 1
        self.agent = self.spawn(f"{BIN}/shmbus-agent", *self.agent_options, *arguments,
                                stderr=self.agent_log)
        return self.agent

    def agent_kill(self):
        """What it published last is looked at too, before there can be a next one."""
        if self.agent.poll() is None:
            self.agent.kill()
        self.agent.wait()
        self.snapshot()

    def agent_ready(self):
        """The agent, when it has the bus; before, it may lose it to another one."""
        self.agent.send_signal(signal.SIGCONT)
        self.wait_published(1)
        return self.agent

    def agent_stop(self):
        """As the service manager does it."""
        self.agent_ready().terminate()
        self.expect(self.agent.wait(PATIENCE_S) == 0, "the agent's exit status is "
                    f"{self.agent.returncode}")

    def agent_said(self):
        self.agent_log.flush()
        with open(self.agent_log.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    def producer(self, **options):
        self.names += 1
        producer = Producer(self, f"p{self.names}", **options)
        self.producers.append(producer)
        return producer

    def reader(self):
        """One that looks until it is killed."""
        return self.spawn(f"{BIN}/shmbus", "top", "-b", "-d", "0.1", "-n", "1000000")

    def spawn_log(self, path, said):
        return self.spawn(f"{BIN}/shmbus", "log", "--file", path, "--append", "--interval", "1",
                          stderr=said)

    # ---- looking ----

    @staticmethod
    def expect(condition, what):
        if not condition:
            raise Failed(what)

    def snapshot(self):
        """The newest one, after what must hold of any was looked at; None where there is none."""
        result = subprocess.run([f"{BIN}/shmbus", "snapshot", "--json"], env=self.env, text=True,
                                capture_output=True, timeout=PATIENCE_S, check=False)
        if result.returncode != 0:
            self.expect(self.watch.seq == 0, f"no snapshot any more: {result.stderr}")
            return None
        snapshot = json.loads(result.stdout)
        found = self.watch.look(snapshot) + self.book.impossible(snapshot)
        self.expect(snapshot["agent"]["incarnation"] <= self.agents_started,
                    "more incarnations than agents")
        self.expect(not found, "\n".join(found))
        return snapshot

    def agent_check(self):
        self.expect(self.agent.poll() is None,
                    f"the agent ended by itself, with status {self.agent.returncode}")

    def look_until(self, when):
        """Takes one snapshot after the other until time.monotonic() is `when`."""
        while (left := when - time.monotonic()) > 0:
            time.sleep(min(left, POLL_S))
            self.agent_check()
            self.snapshot()

    def wait_for(self, condition, what):
        deadline = time.monotonic() + PATIENCE_S
        while not (result := condition()):
            self.expect(time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}")
            self.meanwhile()
            time.sleep(POLL_S / 2)
        return result

    def wait_published(self, count=3):
        """Until the agent that runs now has published so often."""
        first = []

        def published():
            self.agent_check()
            snapshot = self.snapshot()
            if not snapshot or snapshot["agent"]["pid"] != self.agent.pid:
                return False
            first.append(snapshot["seq"])
            return snapshot["seq"] >= first[0] + count

        self.wait_for(published, "snapshots")

    def wait_removed(self):
        """Until all segments are gone; those that were never whole go at the next full scan."""
        self.wait_for(lambda: not self.files("s."), "the segments' removal")

    # ---- quiet moments ----

    def tell(self, command):
        """The living producers, stopped ones too."""
        for producer in self.producers:
            if not producer.ended():
                producer.send(signal.SIGCONT)
                producer.ledger.command(command)

    def pause(self):
        self.tell(PAUSE)
        self.wait_for(lambda: all(p.ended() or p.ledger.paused for p in self.producers),
                      "the producers to pause")

    def go_on(self):
        self.producers = [producer for producer in self.producers if not producer.ended()]
        self.tell(RUN)

    def end(self):
        self.tell(END)
        self.wait_for(lambda: all(p.ended() for p in self.producers), "the producers' end")

    def settle(self):
        """While nobody records: all numbers become the ledgers', to the unit, and stay so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:  # sessions stay longer than that: see --ttl
            self.agent_check()
            snapshot = self.snapshot()
            found = self.book.differences(snapshot) if snapshot else ["no snapshot"]
            if not found:
                break
            self.expect(time.monotonic() < deadline,
                        f"after {PATIENCE_S} s in which nobody recorded:\n" + "\n".join(found))
            time.sleep(POLL_S)
        self.wait_published()
        snapshot = self.snapshot()
        found = self.book.differences(snapshot)
        self.expect(not found, "was right, and changed while nobody recorded:\n" +
                    "\n".join(found))
        self.book.retire(snapshot)
        return snapshot

    def settle_dead(self, what):
        """With a PassingBook: until all that dead producers did is in a snapshot."""
        found = []

        def settled():
            found[:] = self.book.settle_dead(self.snapshot())
            return not found

        try:
            self.wait_for(settled, what)
        except Failed as failure:
            raise Failed(f"{failure}\n" + "\n".join(found)) from failure

    def settle_empty(self):
        """With a PassingBook: all end, all leave, and all that they did is in the totals."""
        self.end()
        self.settle_dead("the ended producers' sessions")
        self.wait_for(lambda: not self.snapshot()["sessions"], "the last session to leave")
        self.wait_removed()
        self.wait_published()
        found = self.book.differences(self.snapshot())
        self.expect(not found, "\n".join(found))
