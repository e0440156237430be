# SPDX-License-Identifier: MIT
"""Hostile producers: whatever one does to its segment costs that session alone. The agent runs on,
publishes on, and a well-behaved session beside it loses nothing, to the unit."""

import fcntl
import os
import signal
import socket
import unittest

from bus import BUILD, metric, total
from hostile import (BESIDE, HEADS_OFFSET, ID, METRIC_COUNT, METRICS_OFFSET, RING, WRITER_COUNT,
                     WRITER_SIZE, WRITERS_CAPACITY, WRITERS_OFFSET, Hostile, lock)

class Files(Hostile):
    """What can be done to a file in use, or instead of one."""

    def test_truncated(self):
        producer, segment = self.victim()
        os.truncate(segment.path, 4096)
        session = self.lost("cut short")
        self.assertEqual(metric(session, "value")["count"], 40)
        producer.kill()
        self.unharmed()

    def test_truncated_and_grown(self):
        producer, segment = self.victim()
        size = segment.size()
        os.truncate(segment.path, 0)
        os.truncate(segment.path, size)
        segment.changed()
        self.wait_for(lambda: self.session("bad", "running"), "it goes on, with zeros")
        producer.kill()
        self.wait_for(lambda: self.session("bad", "lost"), "its end")
        self.unharmed()

    def test_punched(self):
        producer, segment = self.victim()
        segment.punch(0, segment.size())
        segment.changed()
        producer.kill()
        self.wait_for(lambda: self.session("bad", "lost"), "its end")
        self.unharmed()

    def test_replaced(self):
        """Another file under the name of one in use is neither drained nor removed."""
        producer, segment = self.victim()
        hidden = f"/dev/shm/shmbus.{self.bus}.copy"
        with open(hidden, "wb") as out:
            out.write(b"something else")
        os.rename(hidden, segment.path)
        producer.stdin.close()
        session = self.wait_for(lambda: self.session("bad", "ended"), "its end")
        self.assertEqual(metric(session, "value")["count"], 40)
        with open(segment.path, "rb") as kept:
            self.assertEqual(kept.read(), b"something else")
        self.unharmed()

    def test_renamed(self):
        """Under its second name it is a second session, and its samples count once."""
        producer, segment = self.victim()
        os.rename(segment.path, self.name(1))
        self.wait_for(lambda: len(self.snapshot()["sessions"]) == 3, "the second session")
        producer.stdin.close()
        sessions = self.wait_for(
            lambda: (bad := [s for s in self.snapshot()["sessions"] if s["id"] == "bad"]) and
            all(s["state"] == "ended" for s in bad) and bad, "both ends")
        self.assertEqual(sorted(metric(s, "value")["count"] for s in sessions), [0, 40])
        self.unharmed()

    def test_removed(self):
        producer, segment = self.victim()
        os.unlink(segment.path)
        producer.stdin.close()
        session = self.wait_for(lambda: self.session("bad", "ended"), "its end")
        self.assertEqual(metric(session, "value")["count"], 40)
        self.unharmed()

    def test_links(self):
        producer, segment = self.victim()
        os.link(segment.path, self.name(1))
        self.refused(self.name(1), "names")
        os.symlink(segment.path, self.name(2))
        os.close(os.open(self.name(3), os.O_CREAT | os.O_WRONLY))
        self.refused(self.name(2))
        producer.stdin.close()
        self.wait_for(lambda: self.session("bad", "ended"), "its end")
        self.unharmed()

    def test_no_files(self):
        """A FIFO, a socket and a directory under segments' names make nobody wait."""
        os.mkfifo(self.name(1))
        os.mkdir(self.name(2))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.name(3))
            os.close(os.open(self.name(4), os.O_CREAT | os.O_WRONLY))
            self.refused(self.name(1), "regular")
            self.refused(self.name(2), "open")
            self.refused(self.name(3), "open")
        self.unharmed()

    def test_flood(self):
        """Two thousand files of rubbish under segments' names."""
        for i in range(2000):
            with open(self.name(i), "wb") as rubbish:
                rubbish.write(b"\x01" * 600)
        self.wait_for(lambda: sum(self.snapshot()["agent"]["rejected"].values()) >= 2000,
                      "all refused")
        self.unharmed()

    def test_stranger_locks(self):
        """Somebody's read lock neither keeps a dead session alive nor ends a living one."""
        producer, segment = self.victim()
        reader = os.open(segment.path, os.O_RDONLY)
        with self.assertRaises(OSError):
            lock(reader, fcntl.F_RDLCK)
        producer.kill()
        producer.wait()
        try:
            lock(reader, fcntl.F_RDLCK)
        finally:
            self.wait_for(lambda: self.session("bad", "lost"), "its end")
            os.close(reader)
        self.unharmed()


class Contents(Hostile):
    """What can be written into a segment."""

    def test_heads(self):
        """The agent's own positions, moved under its feet: it does not look at them again."""
        producer, segment = self.victim()
        segment.write("<Q", segment.u32(HEADS_OFFSET), 1 << 63)
        segment.changed()
        copy = self.copy(segment, 1, lambda copy: copy.write("<Q", copy.u32(HEADS_OFFSET), 1 << 63))
        self.wait_for(lambda: self.session("copy1"), "the copy")
        copy.close()
        self.segments.remove(copy)
        session = self.wait_for(lambda: self.session("copy1", "lost"), "its end")
        self.assertLessEqual(total(session, "aggregated"), 2 * RING)
        producer.stdin.close()
        session = self.wait_for(lambda: self.session("bad", "ended"), "the first one's end")
        self.assertEqual(metric(session, "value")["count"], 40)
        self.unharmed()

    def test_counts(self):
        """Writers and metrics that grow without end."""
        _, segment = self.victim()
        for number, place, reason in ((1, WRITER_COUNT, "writers"), (2, METRIC_COUNT, "metrics")):
            copy = self.copy(segment, number)
            self.wait_for(lambda number=number: self.session(f"copy{number}"), "the copy")
            copy.write("<I", place, 0xffffffff)
            copy.changed()
            self.lost(reason, f"copy{number}")
            self.refused(self.name(number), reason)
        self.copy(segment, 3, lambda copy: copy.write("<I", WRITER_COUNT, 65))
        self.refused(self.name(3), "writers")
        self.unharmed()

    def test_names(self):
        """Control characters and what is no UTF-8, in names and in texts."""
        _, segment = self.victim()

        def name(copy):
            copy.write("16s", copy.u32(METRICS_OFFSET), b"\x1b[2J\xff\xfe")

        def help_text(copy):
            copy.write("16s", copy.u32(METRICS_OFFSET) + 96, b"\x1b[2J\x07\xff\xfe\x9b")

        self.copy(segment, 1, name)
        self.lost("name", "copy1")
        self.copy(segment, 2, help_text)
        self.copy(segment, 3, lambda copy: copy.write("64s", ID, b"\x1b]0;\xff" + b"x" * 59))
        self.wait_for(lambda: self.session("copy2", "running"), "the copy with a text")
        self.wait_for(lambda: len(self.snapshot()["sessions"]) == 5, "the copy with an id")
        raw = self.run_tool("shmbus", "snapshot", "--json").stdout
        self.assertNotRegex(raw, r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ufffd]")
        self.assertNotIn("u001b", raw)
        self.unharmed()

    def test_sparse(self):
        """64 writers of 2^24 slots each, in a file of a few pages."""
        _, segment = self.victim()
        shared = {}

        def overlapping(copy, holes):
            offset, _, slots, count, _, _ = copy.writer()
            ring = 1 << 16
            size = ring + (16 << 24)
            for i in range(64):
                place = offset + (i * size if holes else 0)
                copy.write("<QQIIII32s", copy.u32(WRITERS_OFFSET) + i * WRITER_SIZE, place, size,
                           slots, count, ring, 1 << 24, b"w%d" % i)
                copy.write("<Q", copy.u32(HEADS_OFFSET) + 64 * i, 1 << 24)  # a lap of zeros
            copy.write("<I", WRITER_COUNT, min(64, copy.u32(WRITERS_CAPACITY)))
            os.truncate(copy.file, offset + 64 * size)
            shared["blocks"] = os.fstat(copy.file).st_blocks

        for number, holes in ((1, True), (2, False)):
            copy = self.copy(segment, number, lambda copy, holes=holes: overlapping(copy, holes))
            self.refused(self.name(number), "block")
            self.assertLess(os.fstat(copy.file).st_blocks, shared["blocks"] + 1024)
        self.unharmed()

    def test_values(self):
        """The smallest and the largest numbers, as a raw producer can write them."""
        values = [0, 1 << 63, (1 << 64) - 1]
        _, segment = self.victim()

        def record(copy):
            offset, _, _, _, ring, _ = copy.writer()
            copy.write("<Q", copy.u32(HEADS_OFFSET), 0)
            for i in range(RING):
                value, tag = (values[i], 1) if i < len(values) else (0, 0)  # metric 0, first lap
                copy.write("<QQ", offset + ring + 16 * i, value, tag)

        self.copy(segment, 1, record)
        session = self.wait_for(
            lambda: (s := self.session("copy1")) and total(s, "aggregated") == 3 and s, "them")
        timer = metric(session, "value")
        self.assertEqual((timer["count"], timer["min"], timer["max"]), (3, 0, (1 << 64) - 1))
        self.assertEqual(timer["sum"], float(sum(values)))  # more than 64 bits are a real
        self.assertEqual(timer["histogram"]["zero_count"], 1)
        self.assertEqual(sum(timer["histogram"]["buckets"]), 2)
        self.unharmed()

    def test_mode(self):
        """A segment that its user may not write to, and one that everybody may."""
        _, segment = self.victim()
        copy = self.copy(segment, 1, lambda copy: os.chmod(copy.path, 0))
        self.refused(copy.path, "open")
        copy = self.copy(segment, 2, lambda copy: os.chmod(copy.path, 0o666))
        self.refused(copy.path, "anybody may write to it (mode 0666)")
        self.unharmed()


class Dense(Hostile):
    """As many samples as one thread can make, and a ring beside them that is full after four
    seconds in which nobody reads it."""

    GOOD = ("--rate", "1000", "--ring", "4096")
    WRITERS = 64
    SLOTS = 1 << (14 if os.environ.get("SHMBUS_SANITIZE") else 20)

    def test_dense(self):
        space = os.statvfs("/dev/shm")
        if space.f_bavail * space.f_bsize < 24 * self.WRITERS * self.SLOTS:
            self.skipTest("needs more shared memory")
        child = self.start("e2e_hostile", "dense", str(self.SLOTS), directory=f"{BUILD}/tests")
        lags = []

        def good_is_read():
            agent, sessions = (self.snapshot()[key] for key in ("agent", "sessions"))
            taken = {session["id"]: session["aggregated_total"] for session in sessions}
            if taken.get("dense"):
                lags.append(agent["drain_lag_ns"])
            return taken["good"] == BESIDE

        self.wait_for(good_is_read, "all of the good session, beside the flood", 120)
        self.suspend(self.process)
        child.stdin.write("\n")
        child.stdin.flush()
        said = self.report(child)
        self.stop(child, signal.SIGKILL)
        self.process.send_signal(signal.SIGCONT)
        self.assertGreater(said["dropped"], 0)
        self.assertEqual(said["attempted"], said["recorded"] + said["dropped"])
        self.assertGreater(len(lags), 1)
        # Without a share for each session a pass takes as long as a gigabyte does. A few passes
        # may be as long on a machine that has other things to do.
        self.assertLess(sorted(lags)[len(lags) * 9 // 10], 300_000_000)
        session = self.wait_for(lambda: self.session("dense", "lost"), "its end", 120)
        self.assertEqual(total(session, "aggregated"), said["recorded"])
        self.assertEqual(total(session, "dropped"), said["dropped"])
        self.assertEqual(metric(session, "value")["count"], said["recorded"])
        self.assertEqual(sum(metric(session, "value")["histogram"]["buckets"]) +
                         metric(session, "value")["histogram"]["zero_count"], said["recorded"])
        self.unharmed()


if __name__ == "__main__":
    unittest.main()
