# SPDX-License-Identifier: MIT
"""Other users' producers and readers, by group; and what the agent gives up when it starts."""

import glob
import os
import shutil
import struct
import subprocess
import tempfile
import unittest

from bus import BIN, BUILD, Bus, metric, total

USER, AGENT, GROUP = 65534, 65533, 54242
CHOWN, DAC_OVERRIDE, FOWNER = 1 << 0, 1 << 1, 1 << 3
WHO = {"user": USER, "group": USER, "extra_groups": [GROUP]}


def status(path):
    """What /proc/PID/status says."""
    with open(f"{path}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


class Users(Bus):
    """As root: the agent and the producers are whoever the test says."""

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to be other users")
        super().setUp()
        # A checkout may lie below a directory that is its owner's alone.
        directory = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(directory.cleanup)
        os.chmod(directory.name, 0o755)
        self.directory = directory.name
        for path in (f"{BUILD}/tests/e2e_producer", f"{BIN}/shmbus-agent", f"{BIN}/shmbus",
                     *glob.glob(f"{BUILD}/lib/libshmbus.so*")):
            os.chmod(shutil.copy(path, directory.name), 0o755)
        self.env["LD_LIBRARY_PATH"] = directory.name

    def agent_as(self, *arguments, **who):
        agent = self.start("shmbus-agent", "--interval", "50ms", *arguments,
                           directory=self.directory, stderr=subprocess.PIPE, **who)
        self.assertTrue(any("version" in line for line in agent.stderr))
        self.wait_for(self.snapshot, "the agent's first snapshot")
        return agent

    def stranger(self, identity, *arguments, group=str(GROUP)):
        self.env["SHMBUS_GROUP"] = group
        producer = self.start("e2e_producer", "--id", identity, "--count", "5", "--hold",
                              *arguments, directory=self.directory, **WHO)
        self.assertEqual(self.report(producer)["error"], 0)
        return producer

    def reason(self):
        """Why the only refused segment was."""
        agent = self.wait_for(
            lambda: (a := (self.snapshot() or {"agent": {}})["agent"]).get("rejects") and a,
            "a refusal")
        self.assertEqual(agent["rejected"], {"owner": 1})
        return agent["rejects"][0]["reason"]


class Groups(Users):
    def drained(self, **who):
        agent = self.agent_as("--allow-group", str(GROUP), **who)
        producer = self.stranger("x")
        self.wait_for(lambda: (s := self.session("x")) and total(s, "aggregated") == 5, "samples")
        self.assertEqual(self.session("x")["uid"], USER)
        producer.stdin.close()
        self.wait_for(lambda: self.session("x", "ended"), "its end")
        return agent

    def test_root(self):
        """Without a capability that opens any file, and with one that removes what is drained."""
        self.drained(extra_groups=[GROUP])
        self.wait_for(lambda: self.files("s.") == [], "the removal")

    def test_user(self):
        agent = self.drained(user=AGENT, group=AGENT, extra_groups=[GROUP])
        self.assertEqual(self.stop(agent), 0)

    def test_no_more(self):
        """An agent that is told less than the one before it lets go of what it may not drain, keeps
        what was counted, and counts nothing twice when it may again."""
        agent = self.agent_as("--allow-group", str(GROUP), extra_groups=[GROUP])
        self.stranger("x")
        self.wait_for(lambda: (s := self.session("x")) and total(s, "aggregated") == 5, "samples")
        self.assertEqual(self.stop(agent), 0)
        agent = self.agent_as("--ttl", "0s", extra_groups=[GROUP])
        self.assertIn("--allow-group", self.reason())
        totals = self.snapshot()["totals"]
        self.assertEqual((totals["sessions_lost"], metric(totals, "done")["value"]), (1, 5))
        self.assertEqual(len(self.files("s.")), 1)
        self.assertEqual(self.stop(agent), 0)
        self.agent_as("--allow-group", str(GROUP), extra_groups=[GROUP])
        session = self.wait_for(lambda: self.session("x", "running"), "the session")
        self.assertEqual(total(session, "aggregated"), 0)
        self.assertEqual(metric(self.snapshot()["totals"], "value")["count"], 5)

    def test_out_of_reach(self):
        """As above, of a segment that the next agent cannot even open: it says so."""
        agent = self.agent_as("--allow-uid", str(USER))
        self.stranger("x", group="")
        self.wait_for(lambda: (s := self.session("x")) and total(s, "aggregated") == 5, "samples")
        self.assertEqual(self.stop(agent), 0)
        self.agent_as()
        session = self.wait_for(lambda: self.session("x", "lost"), "the loss")
        self.assertEqual(session["reason"], "cannot open: Permission denied")
        self.assertEqual(total(session, "aggregated"), 5)
        self.assertEqual(len(self.files("s.")), 1)

    def test_another_group(self):
        self.agent_as("--allow-group", "54243", extra_groups=[GROUP, 54243])
        self.stranger("x")
        self.assertEqual(self.reason(), f"owned by uid {USER}: allow it with --allow-uid {USER} "
                                        f"or --allow-group {GROUP}")

    def test_no_group(self):
        """Nothing but its owner's: the option is not enough."""
        self.agent_as("--allow-group", str(USER), extra_groups=[USER])
        self.stranger("x", group="")
        self.assertEqual(self.reason(), f"owned by uid {USER}: allow it with --allow-uid {USER}")

    def test_group_may_read(self):
        """To a group that may only read, the segment is as good as not given."""
        self.stranger("x")
        (path,) = self.files("s.")
        os.chmod(path, 0o640)
        self.agent_as("--allow-group", str(GROUP), extra_groups=[GROUP])
        self.assertIn(f"--allow-uid {USER}", self.reason())

    def test_everybody(self):
        self.stranger("x")
        (path,) = self.files("s.")
        os.chmod(path, 0o666)
        self.agent_as("--allow-uid", "all", "--allow-group", str(GROUP), extra_groups=[GROUP])
        self.assertEqual(self.reason(), "anybody may write to it (mode 0666)")

    def test_in_the_making(self):
        """A segment that has not got its group yet, when the agent looks, is looked at again."""
        self.stranger("x")
        (path,) = self.files("s.")
        with open(path, "rb") as file:
            image = bytearray(file.read())
        struct.pack_into("32s", image, 128, b"late")
        self.agent_as("--allow-group", str(GROUP), extra_groups=[GROUP])
        late = f"/dev/shm/shmbus.{self.bus}.s.{0x1a7e:016x}"
        file = os.open(late, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchown(file, USER, USER)
        os.close(os.open(late, os.O_WRONLY))  # a bell
        with open(f"/dev/shm/shmbus.{self.bus}.s.{0xbad:016x}", "wb") as rubbish:
            rubbish.write(b"x" * 600)
        self.wait_for(lambda: self.snapshot()["agent"]["rejects"], "a look at what came after it")
        os.fchown(file, USER, GROUP)
        os.fchmod(file, 0o660)
        os.pwrite(file, image, 0)
        os.close(file)
        self.wait_for(lambda: self.session("late"), "the late one")
        self.assertEqual(len(self.snapshot()["agent"]["rejects"]), 1)

    def test_snapshot(self):
        """Readers are who the snapshot's group is, also of a file that the agent makes later."""
        self.agent_as("--snapshot-group", str(GROUP))
        (path,) = self.files("snapshot")
        found = os.stat(path)
        self.assertEqual((found.st_gid, found.st_mode & 0o7777), (GROUP, 0o640))

        def ls(**who):
            return subprocess.run([f"{self.directory}/shmbus", "ls"], env=self.env, text=True,
                                  capture_output=True, timeout=30, check=False, **who)

        self.assertEqual(ls(**WHO).returncode, 0)
        stranger = ls(user=USER, group=USER, extra_groups=[])
        self.assertEqual(stranger.returncode, 1)
        self.assertIn("not for this user", stranger.stderr)
        self.producer("--count", "10", "--sessions", "300", "--every", "--hold")
        self.wait_for(lambda: os.stat(path).st_ino != found.st_ino, "a larger file")
        grown = os.stat(path)
        self.assertEqual((grown.st_gid, grown.st_mode & 0o7777), (GROUP, 0o640))

    def test_snapshot_group_refused(self):
        agent = self.start("shmbus-agent", "--snapshot-group", str(GROUP),
                           directory=self.directory, stderr=subprocess.PIPE, user=AGENT,
                           group=AGENT, extra_groups=[])
        self.assertEqual(agent.wait(timeout=30), 1)
        self.assertIn("cannot make the snapshot in /dev/shm: Operation not permitted",
                      agent.stderr.read())


class Confinement(Bus):
    def confined(self, *arguments, **who):
        """What the kernel says of each of the agent's threads; all say the same."""
        agent = self.start("shmbus-agent", "--interval", "50ms", *arguments,
                           stderr=subprocess.PIPE, **who)
        self.wait_for(lambda: len(os.listdir(f"/proc/{agent.pid}/task")) >= 5 and self.snapshot(),
                      "its threads")
        keys = ("NoNewPrivs", "Seccomp", "Seccomp_filters", "CapPrm", "CapEff", "CapInh", "CapAmb")
        found = {tuple(status(task).get(key) for key in keys)
                 for task in glob.glob(f"/proc/{agent.pid}/task/*")}
        self.assertEqual(self.stop(agent), 0)
        self.assertEqual(len(found), 1)
        said = dict(zip(keys, found.pop()))
        said["log"] = agent.stderr.read()
        return said

    def test_filter(self):
        said = self.confined()
        self.assertEqual(said["NoNewPrivs"], "1")
        if os.environ["SHMBUS_SANITIZE"]:
            self.assertIn("cannot filter system calls", said["log"])
        else:
            self.assertEqual(said["Seccomp"], "2")
            own = int(status("/proc/self").get("Seccomp_filters", 0))
            self.assertEqual(said["Seccomp_filters"] or str(own + 1), str(own + 1))
            self.assertNotIn("system calls", said["log"])

    def test_no_filter(self):
        said = self.confined("--no-seccomp")
        self.assertEqual(said["Seccomp"], status("/proc/self")["Seccomp"])
        self.assertEqual(said["NoNewPrivs"], "1")
        self.assertIn("--no-seccomp", said["log"])

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to have something to give up")
    def test_capabilities(self):
        for arguments, kept in (
                ((), 0),
                (("--allow-uid", "1"), DAC_OVERRIDE | FOWNER),
                (("--allow-uid", "all"), DAC_OVERRIDE | FOWNER),
                (("--allow-group", "1"), FOWNER),
                (("--snapshot-group", "1"), CHOWN),
                (("--allow-group", "1", "--snapshot-group", "1"), CHOWN | FOWNER)):
            said = self.confined(*arguments)
            for key, wanted in (("CapPrm", kept), ("CapEff", kept), ("CapInh", 0), ("CapAmb", 0)):
                self.assertEqual(int(said[key], 16), wanted, (arguments, key))


class Dumps(Users):
    def test_dumpable(self):
        """What it may have read of others is in no core file, and for no debugger."""
        for arguments, owner in (((), AGENT), (("--allow-group", str(GROUP)), 0),
                                 (("--allow-uid", "all"), 0)):
            agent = self.agent_as(*arguments, user=AGENT, group=AGENT, extra_groups=[GROUP])
            self.assertEqual(os.stat(f"/proc/{agent.pid}/status").st_uid, owner, arguments)
            self.assertEqual(self.stop(agent), 0)


if __name__ == "__main__":
    unittest.main()
