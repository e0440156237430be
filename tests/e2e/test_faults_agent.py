# SPDX-License-Identifier: MIT
"""The agent short of what the machine gives: descriptors, watches, a reader of its messages, time
on the processor, rights. It says so, goes on, and is whole again when that is over."""

import contextlib
import ctypes
import fcntl
import glob
import mmap
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from bus import BIN, BUILD, Bus, metric, total

SANITIZE = os.environ.get("SHMBUS_SANITIZE", "")


class Output(Bus):
    """Standard error: nobody reads it, nobody is there, it was never open."""

    def pipe(self, filled):
        """The ends of a pipe with little room, or with none."""
        ends = os.pipe()
        for end in ends:
            self.addCleanup(self.close, end)
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 4096)
        if filled:
            os.set_blocking(ends[1], False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(ends[1], b"x" * 4096)
            os.set_blocking(ends[1], True)
        return ends

    @staticmethod
    def close(descriptor):
        with contextlib.suppress(OSError):
            os.close(descriptor)

    def works(self, name):
        self.report(self.producer("--id", name, "--count", "100", "--hold"))
        self.wait_for(lambda: (s := self.session(name)) and total(s, "aggregated") == 100,
                      "its samples")

    def test_nobody_reads(self):
        """More lines than any buffer holds, and nobody who takes them."""
        reader, writer = self.pipe(filled=False)
        agent = self.agent("--verbose", stderr=writer)
        os.close(writer)
        crowd = self.producer("--sessions", "1500", "--hold", "--ring", "64", "--count", "1")
        crowd.stdout.readline()
        self.stop(crowd, signal.SIGKILL)
        self.wait_for(lambda: (s := self.snapshot()) and s["agent"]["log_lost"] and
                      s["totals"]["sessions_lost"] == 1500, "lost lines", 60)
        self.works("p")
        lost = self.snapshot()["agent"]["log_lost"]
        said = b""
        while b"left out" not in said:
            said += os.read(reader, 65536)
        self.assertRegex(said, rb"left out [1-9][0-9]* lines: standard error was not read\n")
        self.assertGreater(said.count(b"\n") + lost, 3000, "two lines a session")
        self.assertEqual(self.stop(agent), 0)

    def test_ends_unread(self):
        """It starts, works and ends although its first line never gets out."""
        _, writer = self.pipe(filled=True)
        agent = self.agent(stderr=writer)
        self.works("p")
        self.assertEqual(self.stop(agent), 0)

    def test_reader_gone(self):
        reader, writer = self.pipe(filled=False)
        os.close(reader)
        agent = self.agent(stderr=writer)
        self.works("p")
        self.assertGreater(self.snapshot()["agent"]["log_lost"], 0)
        self.assertEqual(self.stop(agent), 0)

    def test_never_open(self):
        """What the agent says does not end up in the files that it opens."""
        agent = self.start("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", f"{BIN}/shmbus-agent",
                           "--verbose", "--interval", "50ms", directory="/bin")
        self.wait_for(self.snapshot, "the first snapshot")
        self.works("p")
        self.assertEqual(self.stop(agent), 0)
        for path in self.files():
            with open(path, "rb") as file:
                self.assertNotIn(b"shmbus-agent[", file.read(), path)


class Signals(Bus):
    def test_without_effect(self):
        agent = self.agent()
        for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGHUP):
            agent.send_signal(number)
        seq = self.snapshot()["seq"]
        self.wait_for(lambda: self.snapshot()["seq"] > seq + 2, "more snapshots")
        self.assertEqual(self.stop(agent), 0)

    def test_terminated_while_it_starts(self):
        """At any moment of it: by the signal, before it takes the bus, or with status 0."""
        producer = self.producer("--id", "p", "--count", "100", "--hold")
        self.report(producer)
        for i in range(20):
            agent = self.start("shmbus-agent", "--interval", "50ms")
            time.sleep(i / 500)
            agent.terminate()
            self.assertIn(agent.wait(timeout=30), (0, -signal.SIGTERM))
        self.agent()
        session = self.wait_for(lambda: (s := self.session("p")) and
                                total(s, "aggregated") == 100 and s, "the samples, once")
        self.assertEqual(session["state"], "running")

    def test_terminated_twice(self):
        agent = self.agent()
        self.suspend(agent)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            agent.send_signal(number)
        agent.send_signal(signal.SIGCONT)
        agent.send_signal(signal.SIGTERM)
        self.assertEqual(agent.wait(timeout=30), 0)


class Limits(Bus):
    """Descriptors, watches, events, address space."""

    def limited(self, *limits, **options):
        agent = self.start("prlimit", *limits, f"{BIN}/shmbus-agent", "--interval", "50ms",
                           directory="/usr/bin", stderr=subprocess.PIPE, **options)
        self.wait_for(self.snapshot, "the first snapshot")
        return agent

    def test_descriptors(self):
        """More sessions than descriptors: the others wait, and have their turn."""
        agent = self.limited("--nofile=50:50")
        crowd = self.producer("--sessions", "60", "--hold", "--ring", "64", "--count", "10")
        self.assertEqual(crowd.stdout.readline(), "{}\n")
        snapshot = self.wait_for(
            lambda: (s := self.snapshot()) and s["totals"]["sessions_active"] +
            s["agent"]["rejected"].get("resource", 0) == 60 and s, "60 sessions, seen or refused")
        admitted = snapshot["totals"]["sessions_active"]
        self.assertGreater(admitted, 15)
        self.assertLess(admitted, 50 - 16)
        self.assertIn("LimitNOFILE", snapshot["agent"]["rejects"][-1]["reason"])
        scan = self.snapshot()["seq"]
        self.wait_for(lambda: self.snapshot()["seq"] > scan + 5, "more snapshots")
        self.stop(crowd, signal.SIGKILL)
        done = self.wait_for(lambda: (s := self.snapshot()) and s["totals"]["sessions_lost"] == 60
                             and s, "all of them, lost", 60)
        self.assertEqual(metric(done["totals"], "done")["value"], 600)
        # Each of them once, however often it was tried again.
        self.assertEqual(self.stop(agent), 0)
        self.assertLessEqual(agent.stderr.read().count("no descriptors left"), 60)

    def test_waiting_is_quiet(self):
        """A session for which there is no room is not even opened."""
        self.agent("--max-sessions", "1")
        self.report(self.producer("--id", "first", "--count", "1", "--hold"))
        self.wait_for(lambda: self.session("first"), "the session")
        before = set(self.files("s."))
        self.report(self.producer("--id", "second", "--count", "1", "--hold"))
        self.wait_for(lambda: self.snapshot()["agent"]["rejected"].get("limit"), "the refusal")
        (path,) = set(self.files("s.")) - before
        libc = ctypes.CDLL(None, use_errno=True)
        events = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        self.addCleanup(os.close, events)
        self.assertGreaterEqual(libc.inotify_add_watch(events, path.encode(), 0x28), 0)
        seq = self.snapshot()["seq"]
        self.wait_for(lambda: self.snapshot()["seq"] > seq + 120, "one scan or two", 60)
        with self.assertRaises(BlockingIOError, msg="nobody opened it"):
            os.read(events, 1 << 16)
        self.assertEqual(self.snapshot()["agent"]["rejected"]["limit"], 1)

    def without(self, limit):
        """An agent in a user namespace of its own that may have none of something."""
        script = f'echo 0 > /proc/sys/user/{limit} && exec "$@"'
        agent = self.start("unshare", "-Ur", "sh", "-c", script, "sh", f"{BIN}/shmbus-agent",
                           "--interval", "50ms", directory="/usr/bin", stderr=subprocess.PIPE)
        self.wait_for(lambda: agent.poll() is not None or self.snapshot(), "a snapshot")
        if agent.poll() is not None:
            self.skipTest("needs user namespaces: " + agent.stderr.read())
        return agent

    def unwatched(self, limit, advice):
        agent = self.without(limit)
        self.said(agent, f"cannot watch .*looking every.*{advice}$")
        producer = self.producer("--id", "p", "--count", "100", "--hold")
        self.report(producer)
        self.wait_for(lambda: (s := self.session("p")) and total(s, "aggregated") == 100, "it")
        producer.stdin.close()
        self.wait_for(lambda: self.session("p", "ended"), "its end")
        freed = subprocess.run(
            ["nsenter", "-U", "--preserve-credentials", "-t", str(agent.pid), "sh", "-c",
             f"echo 10 > /proc/sys/user/{limit}"], capture_output=True, timeout=30, text=True,
            check=False)
        self.assertEqual(freed.returncode, 0, freed.stderr)
        said = self.said(agent, "watching /dev/shm again")
        self.assertNotIn("cannot watch", said, "said once")
        self.report(self.producer("--id", "q", "--count", "100", "--hold"))
        self.wait_for(lambda: self.session("q"), "the next session")
        self.assertEqual(self.stop(agent), 0)

    def test_no_instances(self):
        self.unwatched("max_inotify_instances", "fs.inotify.max_user_instances")

    def test_no_watches(self):
        self.unwatched("max_inotify_watches", "fs.inotify.max_user_watches")

    def test_lost_events(self):
        """More events than the kernel keeps while the agent is stopped: it looks at everything."""
        with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as file:
            limit = int(file.read())
        if limit > 100000:
            self.skipTest("the kernel keeps too many events")
        agent = self.agent()
        killed = self.producer("--id", "killed", "--count", "100", "--hold")
        self.report(killed)
        self.wait_for(lambda: self.session("killed"), "the session")
        self.suspend(agent)
        noise = [f"/dev/shm/shmbus.{self.bus}.noise{i}" for i in range(2)]
        for i in range(limit + 10):  # in turns: like events in a row are one
            os.close(os.open(noise[i % 2], os.O_CREAT | os.O_WRONLY, 0o600))
        late = self.producer("--id", "late", "--count", "100", "--hold")
        self.report(late)
        self.stop(killed, signal.SIGKILL)
        agent.send_signal(signal.SIGCONT)
        self.wait_for(lambda: (s := self.session("late")) and total(s, "aggregated") == 100,
                      "the session whose event was lost")
        self.wait_for(lambda: self.session("killed", "lost"), "the other one's end")
        self.assertGreater(self.snapshot()["agent"]["event_overflows"], 0)

    @unittest.skipIf(SANITIZE, "sanitizers need their address space")
    def test_address_space(self):
        """Less than the checkpoint asks for at first; then none for another ring."""
        agent = self.limited(f"--as={400 << 20}")
        self.report(self.producer("--id", "p", "--count", "100", "--hold"))
        self.wait_for(lambda: (s := self.session("p")) and total(s, "aggregated") == 100, "it")
        self.assertGreater(self.snapshot()["agent"]["checkpoint_bytes"], 0)
        resource.prlimit(agent.pid, resource.RLIMIT_AS, (1 << 20, 400 << 20))
        self.report(self.producer("--id", "q", "--count", "100", "--hold"))
        self.said(agent, "refused .*: (no memory|.*Cannot allocate memory)")
        resource.prlimit(agent.pid, resource.RLIMIT_AS, (400 << 20, 400 << 20))
        self.wait_for(lambda: (s := self.session("q")) and total(s, "aggregated") == 100,
                      "the session that waited")
        self.assertEqual(self.stop(agent), 0)

    @unittest.skipIf(SANITIZE, "sanitizers need their address space")
    def test_producer_without_address_space(self):
        producer = self.start("prlimit", f"--as={60 << 20}", f"{BUILD}/tests/e2e_producer",
                              "--ring", str(1 << 22), "--count", "1000", directory="/usr/bin")
        said = self.report(producer)
        self.assertEqual(said["error"], -12)
        self.assertEqual(said["writers"][0]["attempted"], 0)
        self.assertEqual(producer.wait(timeout=20), 0)
        self.assertEqual(self.files(), [])


class Readers(Bus):
    """Readers that hang, or are killed in the middle."""

    def test_old_snapshots_held(self):
        """Every file that there ever was stays mapped: the agent and other readers do not care."""
        agent = self.agent()
        producer = self.producer("--id", "p", "--count", "3000", "--rate", "1000", "--hold")
        with contextlib.ExitStack() as held:
            for _ in range(5):
                file = held.enter_context(open(f"/dev/shm/shmbus.{self.bus}.snapshot", "rb"))
                held.enter_context(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
                self.assertEqual(self.stop(agent), 0)
                seq = self.snapshot()["seq"]
                agent = self.agent()
                self.wait_for(lambda seq=seq: self.snapshot()["seq"] > seq, "a newer snapshot")
            self.assertEqual(len(self.files("snapshot")), 1)
            self.report(producer)
            self.wait_for(lambda: (s := self.session("p")) and total(s, "aggregated") == 3000,
                          "all samples")

    def test_killed_and_hung(self):
        agent = self.agent("--interval", "20ms")
        self.report(self.producer("--id", "p", "--count", "100", "--hold"))
        hung = self.start("shmbus", "top", "--batch")
        hung.send_signal(signal.SIGSTOP)
        for i in range(30):
            reader = self.start("shmbus", "snapshot", "--json")
            time.sleep(i / 3000)
            reader.kill()
        seq = self.snapshot()["seq"]
        self.wait_for(lambda: self.snapshot()["seq"] > seq + 10, "more snapshots")
        self.assertEqual(total(self.session("p"), "aggregated"), 100)
        self.assertEqual(self.stop(agent), 0)


class Away(Bus):
    """The agent does not run for a while, or not as it is used to."""

    def test_stopped_under_load(self):
        """What finds the ring full is dropped and counted, to the unit; then it goes on."""
        agent = self.agent("--interval", "2s", "--drain", "10ms")
        producer = self.producer("--id", "p", "--count", "6000", "--rate", "1000", "--ring",
                                 "64", "--hold")
        self.wait_for(lambda: (s := self.session("p")) and total(s, "aggregated"), "samples")
        seq = self.wait_for(self.snapshot, "a snapshot")["seq"]
        self.wait_for(lambda: self.snapshot()["seq"] > seq, "the next snapshot")
        since = time.monotonic()
        self.suspend(agent)
        time.sleep(0.5)
        seq = self.snapshot()["seq"]
        agent.send_signal(signal.SIGCONT)
        stopped_ns = (time.monotonic() - since) * 1e9
        shown = self.wait_for(lambda: (s := self.snapshot()) and s["seq"] > seq and s["agent"],
                              "the snapshot after it")
        self.assertGreater(shown["drain_lag_ns"], 0.5e9)
        self.assertGreater(stopped_ns, 0.5e9)
        said = self.report(producer)["writers"][0]
        self.assertEqual(said["attempted"], 6000)
        self.assertGreater(said["dropped"], 0)
        session = self.wait_for(
            lambda: (s := self.session("p")) and
            total(s, "aggregated") + total(s, "dropped") == 6000 and s, "all accounted for")
        self.assertEqual(total(session, "dropped"), said["dropped"])
        self.assertEqual(total(session, "aggregated"), said["recorded"])
        self.assertEqual(metric(session, "value")["count"], said["recorded"])
        self.assertEqual(self.stop(agent), 0)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "needs root and setpriv")
    def test_nobody_at_home(self):
        """As a user without rights, without environment, in a directory that is removed."""
        with tempfile.TemporaryDirectory(dir="/tmp") as directory:
            os.chmod(directory, 0o755)
            for path in (f"{BIN}/shmbus-agent", f"{BUILD}/tests/e2e_producer",
                         *glob.glob(f"{BUILD}/lib/libshmbus.so*")):
                os.chmod(shutil.copy(path, directory), 0o755)
            home = tempfile.mkdtemp(dir="/tmp")
            enter = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env",
                     "-i", f"LD_LIBRARY_PATH={directory}", f"SHMBUS_BUS={self.bus}"]
            agent = self.start(*enter, f"{directory}/shmbus-agent", "--interval", "50ms",
                               directory="/usr/bin", cwd=home)
            self.wait_for(self.snapshot, "the first snapshot")
            os.rmdir(home)
            producer = self.start(*enter, f"{directory}/e2e_producer", "--id", "p", "--count",
                                  "100", "--hold", directory="/usr/bin")
            self.report(producer)
            self.wait_for(lambda: (s := self.session("p")) and total(s, "aggregated") == 100,
                          "its samples")
            producer.stdin.close()
            self.wait_for(lambda: not self.files("s."), "the segment's removal")
            self.assertEqual(self.stop(agent), 0)


if __name__ == "__main__":
    unittest.main()
