# SPDX-License-Identifier: MIT
"""What the tests of hostile producers share: a segment's file as somebody with the right to write
to it sees it, and a well-behaved session beside it that must not notice."""

import fcntl
import os
import struct
import subprocess

from bus import Bus, metric, total

# Where the header has what (shmbus-layout(5)).
WRITERS_OFFSET, WRITERS_CAPACITY = 88, 96
METRICS_OFFSET, METRICS_STRIDE, HEADS_OFFSET = 100, 104, 112
ID, CHANGES, METRIC_COUNT, WRITER_COUNT = 128, 256, 264, 272
WRITER_SIZE = 64
OFD_SETLK, RING = 37, 64
BESIDE = 5000


def lock(descriptor, kind):
    """Takes the kernel's lock on the first byte, as open files own it."""
    fcntl.fcntl(descriptor, OFD_SETLK, struct.pack("hhqqi", kind, os.SEEK_SET, 0, 1, 0))


class Segment:
    """A segment's file, as somebody with the right to write to it sees it."""

    def __init__(self, path):
        self.path = path
        self.file = os.open(path, os.O_RDWR)

    def close(self):
        os.close(self.file)

    def read(self, kind, offset):
        return struct.unpack(kind, os.pread(self.file, struct.calcsize(kind), offset))

    def write(self, kind, offset, *values):
        os.pwrite(self.file, struct.pack(kind, *values), offset)

    def u32(self, offset):
        return self.read("<I", offset)[0]

    def size(self):
        return os.fstat(self.file).st_size

    def changed(self):
        """Makes the agent look at the tables again."""
        self.write("<I", CHANGES, self.u32(CHANGES) + 1 & 0xffffffff)

    def writer(self, number=0):
        """A writer's entry: offset and size of its block, slots, their count, ring, capacity."""
        return self.read("<QQIIII", self.u32(WRITERS_OFFSET) + number * WRITER_SIZE)

    def punch(self, offset, length):
        subprocess.run(["fallocate", "-p", "-o", str(offset), "-l", str(length), self.path],
                       check=True)


class Hostile(Bus):
    GOOD = ("--rate", "5000")  # of the one that behaves

    def setUp(self):
        super().setUp()
        self.segments = []
        self.process = self.agent("--stale-after", "60s")
        self.good = self.producer("--id", "good", "--hold", "--count", str(BESIDE),
                                  *self.GOOD)
        self.wait_for(lambda: self.session("good"), "the good session")

    def tearDown(self):
        for segment in self.segments:
            segment.close()
        for path in self.files("s."):
            if os.path.isdir(path) and not os.path.islink(path):
                os.rmdir(path)
        super().tearDown()

    def open(self, path):
        self.segments.append(Segment(path))
        return self.segments[-1]

    def victim(self, *arguments):
        """A real producer that holds its session, and its segment."""
        before = set(self.files("s."))
        producer = self.producer("--id", "bad", "--hold", "--ring", str(RING), "--count", "40",
                                 *arguments)
        self.report(producer)
        self.wait_for(lambda: (s := self.session("bad")) and total(s, "aggregated") == 40,
                      "the bad session")
        (path,) = set(self.files("s.")) - before
        return producer, self.open(path)

    def name(self, number):
        return f"/dev/shm/shmbus.{self.bus}.s.{0xbad000000 + number:016x}"

    def copy(self, segment, number=1, change=None):
        """A raw producer: a copy of a segment under another name, alive by its lock; whoever
        changes it does so before the agent sees it."""
        hidden = f"/dev/shm/shmbus.{self.bus}.copy{number}"
        with open(segment.path, "rb") as source, open(hidden, "wb") as out:
            out.write(source.read())
        os.chmod(hidden, 0o600)
        copy = self.open(hidden)
        lock(copy.file, fcntl.F_WRLCK)
        copy.write("32s", ID, f"copy{number}".encode())
        if change:
            change(copy)
        copy.path = self.name(number)
        os.rename(hidden, copy.path)
        return copy

    def rejects(self):
        """Segments and reasons of the last refusals."""
        return {r["segment"]: r["reason"]
                for r in (self.snapshot() or {"agent": {}})["agent"].get("rejects", [])}

    def refused(self, path, reason=""):
        name = "/" + os.path.basename(path)
        self.assertIn(reason, self.wait_for(lambda: self.rejects().get(name), f"{name} refused"))

    def lost(self, reason, identity="bad"):
        """The session was given up, and why."""
        session = self.wait_for(lambda: self.session(identity, "lost"), "the loss")
        self.assertIn(reason, session.get("reason", ""))
        return session

    def unharmed(self):
        """The agent runs, publishes, and the good session has every sample."""
        seq = self.snapshot()["seq"]
        self.wait_for(lambda: self.snapshot()["seq"] > seq + 1, "more snapshots")
        said = self.report(self.good)["writers"][0]
        self.assertEqual(said, {"attempted": BESIDE, "recorded": BESIDE, "dropped": 0})
        self.good.stdin.close()
        session = self.wait_for(lambda: self.session("good", "ended"), "its end")
        self.assertEqual(total(session, "aggregated"), BESIDE)
        self.assertEqual(metric(session, "value")["count"], BESIDE)
        self.assertEqual(metric(session, "value")["sum"], BESIDE * (BESIDE + 1) // 2)
        self.assertEqual(metric(session, "done")["value"], BESIDE)
        self.assertIsNone(self.process.poll())
        self.assertEqual(self.stop(self.process), 0)
