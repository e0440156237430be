# SPDX-License-Identifier: MIT
"""The checkpoint that outlives the agent: what a killed or stopped agent knew, the next one shows."""

import os
import signal
import struct
import subprocess
import tempfile
import time
import unittest

from bus import BIN, BUILD, Bus, metric, total
from mounted import Mounted, may_mount

SANITIZE = os.environ["SHMBUS_SANITIZE"]

# What has to do with time, or with the process that looks.
FLEETING = {"age_ns", "cpu_ratio", "memory", "high_water", "rate", "span_ns", "10s", "1m"}


def lasting(part, but=()):
    """What of a document the next agent must show unchanged."""
    if isinstance(part, dict):
        return {key: lasting(value, but) for key, value in part.items()
                if key not in FLEETING and key not in but}
    return [lasting(value, but) for value in part] if isinstance(part, list) else part


class Restarts(Bus):
    def next_agent(self, *arguments, **options):
        """An agent, and that it has published; another one may have done so before it."""
        program = options.pop("program", ("shmbus-agent",))
        agent = self.start(*program, "--interval", "50ms", "--stale-after", "1h",
                           *arguments, **options)
        self.wait_for(lambda: (s := self.snapshot()) and s["agent"]["pid"] == agent.pid,
                      "the agent's first snapshot")
        return agent

    def again(self, agent, *arguments, how=signal.SIGKILL, **options):
        self.stop(agent, how)
        return self.next_agent(*arguments, **options)

    def held(self, identity, count=1000, *arguments):
        """A producer that has recorded all, stays, and is aggregated."""
        producer = self.producer("--id", identity, "--count", str(count), "--hold", *arguments)
        self.report(producer)
        seq = self.snapshot()["seq"]
        self.wait_for(lambda: self.snapshot()["seq"] > seq + 2 and (s := self.session(identity)) and
                      s["writers"] and total(s, "used") == 0 and
                      metric(s, "done")["value"] == count * len(s["writers"]),
                      f"all of {identity}")
        return producer

    def windows_whole(self):
        """A snapshot in which time windows have all samples, which they get each second."""
        def whole(timer):
            windows = timer.get("windows", {"15m": {"count": 0}})
            return windows["15m"]["count"] == timer["count"]

        def all_whole(snapshot):
            holders = [s for s in snapshot["sessions"] if s["state"] == "running"]
            return all(whole(m) for h in (*holders, snapshot["totals"]) for m in h["metrics"]
                       if m["kind"] == "timer")

        return self.wait_for(lambda: (s := self.snapshot()) and all_whole(s) and s,
                             "the time windows")

    def finished(self, identity, state="ended", count=1000, *arguments):
        producer = self.held(identity, count, *arguments)
        if state == "ended":
            producer.stdin.close()
            producer.wait(timeout=20)
        else:
            self.stop(producer, signal.SIGKILL)
        self.wait_for(lambda: self.session(identity, state), f"{identity} is {state}")
        self.wait_for(lambda: not self.files("s."), "the segment's removal")
        self.wait_for(lambda: (t := self.snapshot()["totals"])["recent"]["sessions"] ==
                      t["sessions_ended"] + t["sessions_lost"], "its being over")

    def check_lasting(self, before, after, but=()):
        for part in ("sessions", "totals"):
            self.assertEqual(lasting(after[part], but), lasting(before[part], but))
        for key in ("samples_total", "dropped_total", "clock_backward_total"):
            self.assertEqual(after["agent"][key], before["agent"][key], key)
        self.assertGreater(after["seq"], before["seq"])

    def check_same(self, before, after):
        self.check_lasting(before, after)
        self.assertEqual(after["agent"]["incarnation"], before["agent"]["incarnation"] + 1)


class Numbers(Restarts):
    def check_all(self, how):
        """Every kind, drops, a relabelled session, finished ones: nothing is different."""
        agent = self.next_agent()
        self.finished("ended")
        self.finished("lost", "lost", 700)
        self.held("every", 1500, "--every", "--relabel")
        self.held("small", 300000, "--writers", "3", "--ring", "64")
        before = self.windows_whole()
        session = next(s for s in before["sessions"] if s["id"] == "every")
        self.assertEqual(metric(session, "stage.time")["target"]["worst"]["correlation_id"], 100)
        self.assertEqual(metric(session, "value")["window"]["p50"], 1000.5)
        self.assertEqual(session["labels"], {"attempt_id": "second"})
        self.assertGreater(before["totals"]["dropped_total"], 0)
        self.assertEqual([s["state"] for s in before["sessions"]],
                         ["ended", "lost", "running", "running"])
        for _ in range(3):
            agent = self.again(agent, how=how)
            after = self.snapshot()
            self.check_same(before, after)
            before = after

    def test_killed(self):
        self.check_all(signal.SIGKILL)

    def test_stopped(self):
        self.check_all(signal.SIGTERM)

    def test_goes_on(self):
        """A producer records all the while: not a sample is lost, the window is exact."""
        agent = self.next_agent()
        producer = self.producer("--id", "on", "--count", "8000", "--rate", "2000", "--hold")
        for target in (1000, 2500, 4000, 5500):
            self.wait_for(lambda t=target: (s := self.session("on")) and
                          total(s, "aggregated") >= t, f"{target} samples")
            agent = self.again(agent)
        self.assertEqual(self.report(producer)["writers"][0]["dropped"], 0)
        session = self.wait_for(lambda: (s := self.session("on")) and
                                total(s, "aggregated") == 8000 and s, "8000 samples")
        for value in (metric(session, "value"), metric(self.snapshot()["totals"], "value")):
            self.assertEqual((value["count"], value["sum"], value["min"], value["max"]),
                             (8000, 8000 * 8001 // 2, 1, 8000))
            self.assertEqual(sum(value["histogram"]["buckets"]), 8000)
            self.assertEqual(value["window"]["count"], 1000)
            self.assertEqual((value["window"]["min"], value["window"]["max"]), (7001, 8000))
            self.assertAlmostEqual(value["window"]["p50"], 7500.5)
            self.assertAlmostEqual(value["window"]["p95"], 7950.05)
            self.assertAlmostEqual(value["window"]["p99"], 7990.01)
        self.assertEqual(metric(session, "done")["value"], 8000)
        self.assertEqual(total(session, "before"), 0)

    def test_told_while_no_agent_ran(self):
        """Tables that have changed since the checkpoint are read again, those of others are not."""
        agent = self.next_agent()
        self.held("silent")
        producer = self.producer("--id", "told", "--count", "4000", "--rate", "1000", "--relabel",
                                 "--hold")
        told = self.wait_for(lambda: (s := self.session("told")) and
                             total(s, "aggregated") >= 100 and s, "100 samples")
        self.assertNotEqual(told["labels"], {"attempt_id": "second"})
        silent = self.session("silent")
        self.stop(agent, signal.SIGKILL)
        self.report(producer)
        self.next_agent()
        self.wait_for(lambda: self.session("told")["labels"] == {"attempt_id": "second"} and
                      total(self.session("told"), "aggregated") == 4000, "the new label")
        self.assertEqual(self.session("silent")["labels"], silent["labels"])

    def windows_count(self, window):
        snapshot = self.snapshot()
        return [metric(holder, "value")["windows"].get(window, {}).get("count", 0)
                for holder in (snapshot["sessions"][0], snapshot["totals"])]

    def test_old_samples_stay_old(self):
        """What has left the shortest window is not in it again after a restart."""
        agent = self.next_agent()
        self.held("old")
        self.windows_whole()  # else none of them is in a window yet, which looks like 10 s later
        self.wait_for(lambda: not any(self.windows_count("10s")), "10 s to pass", 60)
        time.sleep(2)  # windows are saved every ten seconds
        # With less room for names the metric is still the first one of the totals.
        self.again(agent, "--max-metrics", "1")
        first = self.snapshot()
        self.wait_for(lambda: self.snapshot()["time_unix_ns"] > first["time_unix_ns"] + 2e9,
                      "two seconds")
        self.assertEqual(self.windows_count("10s"), [0, 0])
        self.assertEqual(self.windows_count("15m"), [1000, 1000])


class Finished(Restarts):
    def test_until_the_ttl(self):
        agent = self.next_agent()
        self.finished("ended")
        self.finished("lost", "lost", 700)
        before = self.windows_whole()
        agent = self.again(agent)
        agent = self.again(agent, how=signal.SIGTERM)
        after = self.snapshot()
        self.assertEqual(lasting(after["sessions"]), lasting(before["sessions"]))
        self.assertEqual(lasting(after["totals"]), lasting(before["totals"]))
        for ttl in ("1s", "1h"):  # gone for good
            agent = self.again(agent, "--ttl", ttl)
            self.wait_for(lambda: not self.snapshot()["sessions"], "their end")
        self.assertEqual(lasting(self.snapshot()["totals"]), lasting(before["totals"]))

    def test_died_while_no_agent_ran(self):
        agent = self.next_agent()
        with tempfile.NamedTemporaryFile() as ledger:
            producer = self.producer("--id", "died", "--count", "1000000000", "--rate", "2000",
                                     "--ledger", ledger.name)
            self.wait_for(lambda: (s := self.session("died")) and total(s, "aggregated") > 100,
                          "samples")
            self.stop(agent, signal.SIGKILL)
            reached = total(self.session("died"), "aggregated")
            self.wait_for(lambda: struct.unpack("Q", os.pread(ledger.fileno(), 8, 0))[0] >
                          reached + 500, "samples without an agent")
            self.stop(producer, signal.SIGKILL)
            attempts = struct.unpack("Q", os.pread(ledger.fileno(), 8, 0))[0]
        self.next_agent()
        session = self.wait_for(lambda: self.session("died", "lost"), "its loss")
        self.assertIn(attempts - total(session, "aggregated") - total(session, "dropped"), (0, 1))
        count = metric(session, "value")["count"]
        self.assertEqual(count, total(session, "aggregated"))
        self.assertEqual(metric(session, "value")["sum"], count * (count + 1) // 2)
        self.wait_for(lambda: not self.files("s."), "the segment's removal")
        self.assertEqual(self.snapshot()["totals"]["sessions_lost"], 1)

    def test_closed_while_no_agent_ran(self):
        agent = self.next_agent()
        producer = self.held("closed")
        before = self.session("closed")
        self.stop(agent, signal.SIGTERM)
        producer.stdin.close()
        producer.wait(timeout=20)
        self.assertEqual(len(self.files("s.")), 1, "left to the next agent")
        self.next_agent()
        session = self.wait_for(lambda: self.session("closed", "ended"), "its end")
        self.assertEqual(lasting(session["metrics"], ["windows"]),
                         lasting(before["metrics"], ["windows"]))
        self.assertEqual(self.snapshot()["totals"]["sessions_ended"], 1)

    def test_segment_removed_by_hand(self):
        agent = self.next_agent()
        self.held("robbed", 1234)
        before = self.session("robbed")
        self.stop(agent, signal.SIGKILL)
        os.unlink(self.files("s.")[0])
        agent = self.next_agent()
        session = self.wait_for(lambda: self.session("robbed", "lost"), "its loss")
        self.assertIn("went away while no agent ran", session["reason"])
        self.assertEqual(lasting(session["metrics"], ["windows"]),
                         lasting(before["metrics"], ["windows"]))
        self.assertEqual(session["labels"], before["labels"])
        self.again(agent)
        snapshot = self.snapshot()
        self.assertEqual(lasting(snapshot["sessions"][0]), lasting(session))
        self.assertEqual(snapshot["totals"]["sessions_lost"], 1)
        self.assertEqual(metric(snapshot["totals"], "value")["count"], 1234)


class Limits(Restarts):
    def test_another_window(self):
        """Running sessions keep their windows; the bus's take as many samples as they have."""
        agent = self.next_agent("--window", "100")
        self.held("first")
        for size, count in (("50", 50), ("400", 50)):
            agent = self.again(agent, "--window", size)
            snapshot = self.snapshot()
            window = metric(snapshot["sessions"][0], "value")["window"]
            self.assertEqual((window["count"], window["min"], window["max"]), (100, 901, 1000))
            window = metric(snapshot["totals"], "value")["window"]
            self.assertEqual((window["size"], window["max"]), (int(size), 1000))
            self.assertGreaterEqual(window["count"], count)
            self.assertEqual(window["min"], 1001 - window["count"])
        self.held("second")
        window = metric(self.session("second"), "value")["window"]
        self.assertEqual((window["size"], window["count"]), (400, 400))

    def test_fewer_names(self):
        """What finished sessions gave to names that have no room any more is in the overflow."""
        agent = self.next_agent()
        self.finished("gone", "ended", 1000, "--every")
        self.held("here", 1500, "--every")
        before = self.windows_whole()["totals"]
        samples = sum(m["count"] for m in before["metrics"] if m["kind"] == "timer")
        self.assertEqual(before["overflow_total"], 0)
        for _ in range(2):
            agent = self.again(agent, "--max-metrics", "1", stderr=subprocess.PIPE)
            after = self.snapshot()["totals"]
            self.assertEqual(lasting(after["metrics"]), lasting(before["metrics"][:1]))
            self.assertEqual(after["overflow_total"] + 2500, samples)
        self.stop(agent)
        self.assertNotIn("damaged", agent.stderr.read())

    def test_fewer_descriptors(self):
        """An agent that cannot have all sessions does not make lost ones of them: it ends."""
        agent = self.next_agent()
        for i in range(30):
            self.held(f"s{i}", 10)
        before = self.snapshot()
        self.stop(agent, signal.SIGKILL)
        poor = self.start("prlimit", "--nofile=30", f"{BIN}/shmbus-agent", directory="/usr/bin",
                          stderr=subprocess.PIPE)
        said = poor.communicate(timeout=30)[1]
        self.assertEqual(poor.returncode, 1)
        self.assertIn("cannot take up the last agent's sessions: Too many open files", said)
        self.assertEqual(len(self.files("s.")), 30)
        self.next_agent()
        after = self.snapshot()
        self.assertEqual([s["state"] for s in after["sessions"]], ["running"] * 30)
        self.assertEqual(lasting(after["sessions"], ("windows",)),
                         lasting(before["sessions"], ("windows",)))
        self.assertEqual(metric(after["totals"], "value")["count"], 300)
        self.assertEqual(after["agent"]["incarnation"], before["agent"]["incarnation"] + 1)

    def test_nobody_in_between(self):
        agent = self.next_agent()
        self.finished("once")
        before = self.windows_whole()
        agent = self.again(agent, "--ttl", "0s")
        self.wait_for(lambda: not self.snapshot()["sessions"], "nobody")
        for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
            agent = self.again(agent, how=how)
        after = self.snapshot()
        self.assertEqual(lasting(after["totals"]), lasting(before["totals"]))
        self.assertEqual(after["agent"]["incarnation"], 5)
        self.assertGreater(after["seq"], before["seq"])


@unittest.skipIf(SANITIZE, "sanitizers need their address space, and allocate on their own")
class Memory(Restarts):
    """Agents that run out of memory while they take up what a killed one left: each of them has
    all of it, or says that it has not the memory and leaves all of it to the next."""

    REFUSED = "cannot (start|take up|make|publish)|no memory|loading shared libraries"

    def left_behind(self, crowd):
        """What a killed agent leaves: of every kind of cell some."""
        agent = self.next_agent()
        self.finished("ended")
        self.finished("lost", "lost", 700)
        self.held("every", 1500, "--every", "--relabel")
        self.held("small", 3000, "--writers", "3", "--ring", "64")
        if crowd:
            producer = self.producer("--sessions", str(crowd), "--hold", "--ring", "64",
                                     "--count", "10")
            self.assertEqual(producer.stdout.readline(), "{}\n")
            self.wait_for(lambda: self.snapshot()["totals"]["sessions_active"] == crowd + 2,
                          "the crowd")
        before = self.windows_whole()
        self.wait_for(lambda: self.snapshot()["time_unix_ns"] > before["time_unix_ns"] + 11e9,
                      "the time windows to be saved")
        before = self.snapshot()
        self.stop(agent, signal.SIGKILL)
        return before

    def checkpoint(self):
        with open(f"/dev/shm/shmbus.{self.bus}.checkpoint", "rb") as file:
            return file.read()

    def attempt(self, before, *program):
        """An agent that may succeed. Returns whether it has, and what it said. Quantiles of a time
        window for which there was no memory are absent for a while. One that has taken up all and
        lacks memory to publish it goes on, and says so."""
        with tempfile.TemporaryFile("w+") as errors:
            agent = self.start(*program, f"{BIN}/shmbus-agent", "--interval", "20ms",
                               "--stale-after", "1h", directory="/usr/bin", stderr=errors)

            def said():
                return os.pread(errors.fileno(), 1 << 20, 0).decode()

            self.wait_for(lambda: agent.poll() is not None or "cannot publish: " in said() or
                          (s := self.snapshot()) and s["agent"]["pid"] == agent.pid,
                          "its end, or its first snapshot")
            running = agent.poll() is None
            succeeded = running and (s := self.snapshot()) and s["agent"]["pid"] == agent.pid
            if succeeded:
                self.check_lasting(before, self.snapshot(), ("windows",))
            if running:
                agent.kill()
            agent.wait(timeout=30)
            agent.stdout.close()
            if not running:
                self.assertGreater(agent.returncode, 0, said())
            if not succeeded:
                self.assertRegex(said(), self.REFUSED)
            self.assertNotIn("damaged", said())
            self.children.remove(agent)
            return succeeded, said()

    def check_rising(self, limit, first, step, reasons):
        """More and more memory, until it suffices."""
        before = self.left_behind(60)
        missing, refused, bytes_limit, succeeded = set(reasons), None, first, False
        while not succeeded:
            succeeded, said = self.attempt(before, "prlimit", f"--{limit}={bytes_limit}")
            missing -= {reason for reason in missing if reason in said}
            # The first one that opens it clears away what was never committed.
            if "cannot take up" in said:
                checkpoint = self.checkpoint()
                self.assertTrue(refused in (None, checkpoint), "another checkpoint")
                refused = checkpoint
            bytes_limit += step
        self.assertIsNotNone(refused)
        self.assertEqual(missing, set())
        self.next_agent()
        self.check_lasting(before, self.snapshot())

    def test_address_space(self):
        self.check_rising("as", 8 << 20, 1 << 20,
                          ["cannot start: ", "cannot take up the last agent's checkpoint: "])

    def test_data(self):
        self.check_rising("data", 1 << 20, 1 << 18,
                          ["cannot start: ", "cannot take up the last agent's sessions: ",
                           "cannot start a thread: "])

    def test_each_allocation(self):
        """One of those that the agent makes until it has published, each in turn."""
        before = self.left_behind(0)
        number, refusals, hit = 1, 0, True
        while hit:
            succeeded, said = self.attempt(
                before, "env", f"LD_PRELOAD={BUILD}/tests/libe2e_memory.so",
                f"SHMBUS_TEST_MEMORY={number}")
            hit = "an allocation was made to fail" in said
            refusals += not succeeded
            number += 1
        self.assertTrue(succeeded)
        self.assertGreater(refusals, 50)
        self.next_agent()
        self.check_lasting(before, self.snapshot())


class Files(Restarts):
    def checkpoint(self):
        return f"/dev/shm/shmbus.{self.bus}.checkpoint"

    def put_aside(self, offset, value, word):
        """Another agent's file, or rubbish: said, kept, and the agent runs as if it was new."""
        agent = self.next_agent()
        self.held("here")
        self.stop(agent, signal.SIGKILL)
        inode = os.stat(self.checkpoint()).st_ino
        with open(self.checkpoint(), "r+b") as file:
            file.seek(offset)
            file.write(struct.pack("<I", value))
        agent = self.next_agent(stderr=subprocess.PIPE)
        writer = self.wait_for(lambda: (s := self.session("here")) and s["writers"],
                               "the session")[0]
        self.assertEqual((writer["before"], writer["aggregated"]), (1000, 0))
        self.assertEqual(os.stat(self.checkpoint() + ".aside").st_ino, inode)
        self.assertIn(os.path.basename(self.checkpoint()) + ".aside",
                      self.run_tool("shmbus", "doctor").stdout)
        self.held("new")
        agent = self.again(agent, stderr=subprocess.PIPE)
        self.assertEqual(metric(self.snapshot()["totals"], "value")["count"], 1000)
        self.stop(agent)
        self.assertNotIn("aside", agent.stderr.read())
        first = self.children[2].stderr.read()
        self.assertIn(word, first)
        self.assertIn(self.checkpoint() + ".aside", first)

    def test_another_version(self):
        self.put_aside(8, 77, "of another version")

    def test_damaged(self):
        self.put_aside(4096, 1, "damaged")

    def test_clean(self):
        """doctor names the file; --clean removes it and what was put aside, not beside an agent."""
        agent = self.next_agent()
        self.finished("once")
        with open(self.checkpoint() + ".aside", "wb"):
            pass
        listed = self.run_tool("shmbus", "doctor").stdout
        self.assertRegex(listed, r"(?m)^shmbus\S*\.checkpoint\s")
        self.assertEqual(self.run_tool("shmbus", "doctor", "--clean").returncode, 1)
        self.assertTrue(os.path.exists(self.checkpoint()))
        self.stop(agent)
        removed = self.run_tool("shmbus", "doctor", "--clean").stdout
        self.assertIn(f"removed {self.checkpoint()}\n", removed)
        self.assertIn(f"removed {self.checkpoint()}.aside\n", removed)
        self.assertEqual(self.files(), [])
        self.next_agent()
        snapshot = self.snapshot()
        self.assertEqual((snapshot["agent"]["incarnation"], snapshot["totals"]["sessions_total"]),
                         (1, 0))

    def test_name_taken(self):
        """No checkpoint can be made: said, and all goes on; what it costs is counted."""
        os.mkdir(self.checkpoint())
        self.addCleanup(lambda: os.path.isdir(self.checkpoint()) and os.rmdir(self.checkpoint()))
        agent = self.next_agent(stderr=subprocess.PIPE)
        self.held("here", 40000, "--rate", "20000", "--ring", "4096")
        session = self.session("here")
        self.assertEqual(total(session, "aggregated") + total(session, "dropped"), 40000)
        self.assertGreater(total(session, "aggregated"), 2 * 4096)
        self.assertEqual(self.snapshot()["agent"]["checkpoint_bytes"], 0)
        self.stop(agent)
        self.assertIn(f"cannot keep a checkpoint in {self.checkpoint()}", agent.stderr.read())
        self.next_agent()
        writer = self.wait_for(lambda: (s := self.session("here")) and s["writers"],
                               "the session")[0]
        self.assertEqual(writer["before"], total(session, "aggregated"))
        os.rmdir(self.checkpoint())


@unittest.skipUnless(may_mount(), "needs the right to mount in a namespace of its own")
class Full(Mounted, Restarts):
    """Shared memory is full: a /dev/shm of its own, in which all programs of the test run."""

    def test_no_room_to_grow(self):
        agent = self.next_agent("--window", "65536", stderr=subprocess.PIPE)
        self.fill(but="200K")
        producer = self.held("big", 30000, "--rate", "10000", "--ring", "4096")
        self.assertIsNone(producer.poll())
        session = self.windows_whole()["sessions"][0]
        self.assertEqual(total(session, "aggregated") + total(session, "dropped"), 30000)
        self.assertGreater(total(session, "aggregated"), 2 * 4096, "slots were given back")
        full = self.snapshot()["agent"]
        self.assertGreater(full["checkpoint_failures"], 0)
        self.unfill()
        room = self.wait_for(lambda: (s := self.snapshot()) and s["agent"]["checkpoint_bytes"] >
                             full["checkpoint_bytes"] and s, "the checkpoint to grow")
        self.wait_for(lambda: self.snapshot()["seq"] > room["seq"] + 2, "two more")
        self.again(agent)
        self.assertIn("no room for the checkpoint", agent.stderr.read())
        self.assertEqual(lasting(self.session("big"), ["windows"]),
                         lasting(session, ["windows"]))


if __name__ == "__main__":
    unittest.main()
