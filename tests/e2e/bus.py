# SPDX-License-Identifier: MIT
"""What end-to-end tests share: a bus of their own with a real agent and real producers."""

import glob
import json
import os
import re
import signal
import subprocess
import time
import unittest

BIN = os.environ["SHMBUS_BIN"]
BUILD = os.environ["SHMBUS_BUILD"]
BUS = os.environ.get("SHMBUS_BUS") or f"t{os.getpid()}"


class Bus(unittest.TestCase):
    """One bus a test; whatever the test starts is gone after it, and its files with it."""

    def setUp(self):
        self.bus = f"{BUS}-{self._testMethodName}"[:31]
        self.children = []
        self.env = dict(os.environ, SHMBUS_BUS=self.bus)

    def tearDown(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    stream.close()
            child.wait()
        for path in self.files():
            os.unlink(path)

    def files(self, kind=""):
        return glob.glob(f"/dev/shm/shmbus.{self.bus}.{kind}*")

    def start(self, program, *arguments, directory=BIN, **options):
        child = subprocess.Popen(
            [f"{directory}/{program}", *arguments], env=self.env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=options.pop("stderr", subprocess.DEVNULL), **options)
        self.children.append(child)
        return child

    def run_tool(self, program, *arguments, timeout=30):
        return subprocess.run([f"{BIN}/{program}", *arguments], env=self.env, text=True,
                              capture_output=True, timeout=timeout, check=False)

    def agent(self, *arguments, **options):
        agent = self.start("shmbus-agent", "--interval", "50ms", *arguments, **options)
        self.wait_for(self.snapshot, "the agent's first snapshot")
        return agent

    def producer(self, *arguments, **options):
        return self.start("e2e_producer", *arguments, directory=f"{BUILD}/tests", **options)

    def report(self, producer):
        """What a producer says of itself when it has recorded all."""
        return json.loads(producer.stdout.readline())

    def snapshot(self):
        result = self.run_tool("shmbus", "snapshot", "--json")
        return json.loads(result.stdout) if result.returncode == 0 else None

    def session(self, identity, state=None):
        snapshot = self.snapshot() or {"sessions": []}
        for session in snapshot["sessions"]:
            if session["id"] == identity and state in (None, session["state"]):
                return session
        return None

    def wait_for(self, condition, what, seconds=30):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            result = condition()
            if result:
                return result
            time.sleep(0.02)
        return self.fail(f"waited {seconds} s in vain for {what}")

    def said(self, agent, *patterns):
        """Waits until an agent has said all of that; returns what it has said up to then."""
        lines, missing = [], set(patterns)
        while missing:
            lines.append(agent.stderr.readline())
            self.assertNotEqual(lines[-1], "", missing)
            missing = {p for p in missing if not re.search(p, lines[-1])}
        return "".join(lines)

    def suspend(self, child):
        """Stops a process for a while; SIGCONT ends that."""
        def stopped():
            with open(f"/proc/{child.pid}/stat", encoding="ascii") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "T"
        child.send_signal(signal.SIGSTOP)
        self.wait_for(stopped, "the process to stop")

    def stop(self, child, how=signal.SIGTERM):
        child.send_signal(how)
        return child.wait(timeout=20)


def metric(holder, name):
    return next(m for m in holder["metrics"] if m["name"] == name)


def total(session, key):
    """A sum over the writers; of drops, over their causes too."""
    if key == "dropped":
        return sum(sum(w["dropped"].values()) for w in session["writers"])
    return sum(w[key] for w in session["writers"])
