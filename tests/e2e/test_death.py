# SPDX-License-Identifier: MIT
"""Who is dead and who is not: stops, strangers' locks, children, and services that come again."""

import fcntl
import os
import signal
import struct
import unittest

from bus import Bus, metric, total

OPEN_FILE_LOCK = 37  # F_OFD_SETLK
STOPS = 8
LIVES = 5


def shared_lock(fd, command):
    """A read lock on the byte that a producer holds for writing."""
    fcntl.fcntl(fd, command, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 1, 0))


class Deaths(Bus):
    def producing(self, identity, *arguments):
        producer = self.producer("--id", identity, *arguments)
        self.wait_for(lambda: self.session(identity, "running"), "the session")
        return producer

    def lost(self, identity):
        session = self.wait_for(lambda: self.session(identity, "lost"), "state lost")
        self.wait_for(lambda: not os.path.exists(f"/dev/shm{session['segment']}"),
                      "the segment's removal")
        return session

    def test_stopped_again_and_again(self):
        """However long a producer stands still: it is stale, and never lost."""
        self.agent("--stale-after", "100ms")
        producer = self.producing("z", "--count", "100000000", "--rate", "500")
        incarnation = self.session("z")["incarnation"]
        for _ in range(STOPS):
            producer.send_signal(signal.SIGSTOP)
            self.wait_for(lambda: self.session("z", "stale"), "stale")
            seq = self.snapshot()["seq"]
            counted = total(self.session("z"), "aggregated")
            self.wait_for(lambda seq=seq: self.snapshot()["seq"] >= seq + 10, "ten snapshots")
            session = self.session("z")
            self.assertEqual(session["state"], "stale")
            self.assertEqual(total(session, "aggregated"), counted)
            producer.send_signal(signal.SIGCONT)
            self.wait_for(lambda: self.session("z", "running"), "running again")
            self.wait_for(lambda counted=counted: total(self.session("z"), "aggregated") > counted,
                          "more samples")
        snapshot = self.snapshot()
        self.assertEqual(snapshot["totals"]["sessions_lost"], 0)
        self.assertEqual(snapshot["totals"]["sessions_total"], 1)
        self.assertEqual(self.session("z")["incarnation"], incarnation)
        self.assertEqual(len(self.files("s.")), 1)

    def test_killed_while_stopped(self):
        self.agent("--stale-after", "100ms")
        producer = self.producing("z", "--count", "100000000", "--rate", "500")
        producer.send_signal(signal.SIGSTOP)
        self.wait_for(lambda: self.session("z", "stale"), "stale")
        self.stop(producer, signal.SIGKILL)
        self.lost("z")

    def test_strangers_locks(self):
        """Read locks of every kind block nobody, and are no sign of life nor of death."""
        agent = self.agent()
        producer = self.producing("z", "--count", "100000000", "--rate", "500")
        files = [os.open(f"/dev/shm{self.session('z')['segment']}", os.O_RDONLY)
                 for _ in range(3)]
        try:
            fcntl.flock(files[0], fcntl.LOCK_EX)
            for fd, command in ((files[1], fcntl.F_SETLK), (files[2], OPEN_FILE_LOCK)):
                with self.assertRaises(OSError):
                    shared_lock(fd, command)
            counted = total(self.session("z"), "aggregated")
            self.wait_for(lambda: total(self.session("z", "running"), "aggregated") > counted,
                          "more samples")
            # Stopped, so that the locks are there when the agent looks for the first time.
            agent.send_signal(signal.SIGSTOP)
            self.stop(producer, signal.SIGKILL)
            shared_lock(files[1], fcntl.F_SETLK)
            shared_lock(files[2], OPEN_FILE_LOCK)
            other = self.producer("--id", "other", "--count", "10", "--hold")
            self.report(other)
            agent.send_signal(signal.SIGCONT)
            self.lost("z")
            self.wait_for(lambda: (s := self.session("other", "running")) and
                          total(s, "aggregated") == 10, "the other session's samples")
        finally:
            for fd in files:
                os.close(fd)

    def test_child_outlives_its_parent(self):
        """A forked child holds copies of all that its parent had, and is not it."""
        self.agent()
        producer = self.producer("--id", "z", "--count", "10", "--fork", "--hold")
        child = int(producer.stdout.readline())
        try:
            self.report(producer)
            self.wait_for(lambda: (s := self.session("z")) and total(s, "aggregated") == 10,
                          "the parent's samples")
            self.stop(producer, signal.SIGKILL)
            session = self.lost("z")
            self.assertEqual(total(session, "aggregated"), 10)
            os.kill(child, 0)  # it lives
        finally:
            producer.stdin.close()  # it waits for that
            self.wait_for(lambda: not os.path.exists(f"/proc/{child}/fd/0"), "the child's end")

    def test_service_comes_again(self):
        """Each life is an incarnation of its own; the bus has the sum, which never goes back."""
        self.agent()
        incarnations, counted = [], 0

        def looked_at():
            nonlocal counted
            snapshot = self.snapshot()
            metrics = [m for m in snapshot["totals"]["metrics"] if m["name"] == "value"]
            count = metrics[0]["count"] if metrics else 0
            self.assertGreaterEqual(count, counted, "the totals went back")
            counted = count
            return snapshot

        def found(life, states):
            sessions = sorted((s for s in looked_at()["sessions"] if s["id"] == "z"),
                              key=lambda s: s["incarnation"])
            return [s["state"] for s in sessions] == ["lost"] * life + states and sessions

        for life in range(LIVES):
            producer = self.producer("--id", "z", "--count", "1000", "--hold")
            self.report(producer)
            self.wait_for(lambda life=life: found(life, ["running"]) and
                          counted == 1000 * (life + 1), f"life {life}")
            incarnations.append(found(life, ["running"])[-1]["incarnation"])
            self.stop(producer, signal.SIGKILL)
            self.wait_for(lambda life=life: found(life, ["lost"]), f"death {life}")
        self.assertEqual(incarnations, sorted(set(incarnations)))
        totals = looked_at()["totals"]
        value = metric(totals, "value")
        self.assertEqual((totals["sessions_lost"], value["count"], value["sum"]),
                         (LIVES, 1000 * LIVES, 500500 * LIVES))
        self.assertEqual(metric(totals, "done")["value"], 1000 * LIVES)


if __name__ == "__main__":
    unittest.main()
