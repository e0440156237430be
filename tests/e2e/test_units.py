# SPDX-License-Identifier: MIT
"""The units for systemd: valid, tight, not so tight that the programs cannot work, installed."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

from bus import BIN, BUILD, Bus

SOURCE = os.environ["SHMBUS_SOURCE"]
SYSTEM = ("system/shmbus-agent.service", "system/shmbus-agent@.service")
UNITS = (*SYSTEM, "user/shmbus-agent.service")
LOGS = ("system/shmbus-log.service", "system/shmbus-log@.service")
GATEWAYS = ("system/shmbus-gateway.service", "system/shmbus-gateway@.service")
SOCKETS = ("system/shmbus-gateway.socket", "system/shmbus-gateway@.socket")
EXPOSURE_MAX = 20  # tenths


def settings(unit, key):
    with open(f"{BUILD}/systemd/{unit}", encoding="utf-8") as file:
        return re.findall(rf"^{key}=(.*)$", file.read(), re.MULTILINE)


class Analyzed(unittest.TestCase):
    def setUp(self):
        if shutil.which("systemd-analyze") is None:
            self.skipTest("there is no systemd-analyze")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def analyze(self, *arguments):
        result = subprocess.run(
            ["systemd-analyze", "--no-pager", *arguments], text=True, capture_output=True,
            timeout=60, check=False, env=dict(os.environ, XDG_RUNTIME_DIR=self.directory))
        return result.returncode, result.stdout + result.stderr

    def with_program(self, unit):
        """A copy whose program is where it was built."""
        with open(f"{BUILD}/systemd/{unit}", encoding="utf-8") as file:
            text, count = re.subn(r"(?m)^ExecStart=\S+/(\S+)", rf"ExecStart={BIN}/\1",
                                  file.read())
        self.assertEqual(count, 1)
        path = f"{self.directory}/{os.path.basename(unit)}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_valid(self):
        for unit in SOCKETS:
            shutil.copy(f"{BUILD}/systemd/{unit}", self.directory)
        for unit in (*UNITS, *LOGS, *GATEWAYS):
            manager = ["--user"] if unit.startswith("user/") else []
            said = self.analyze(*manager, "verify", "--man=no", self.with_program(unit))
            self.assertEqual(said, (0, ""), unit)

    def test_exposure(self):
        for unit in (*SYSTEM, *LOGS, *GATEWAYS):
            status, said = self.analyze("security", "--offline=true",
                                        f"--threshold={EXPOSURE_MAX}", self.with_program(unit))
            self.assertEqual(status, 0, said)
            self.assertIn("Overall exposure level", said)

    def members(self, name):
        """The system calls in one of systemd's sets, and in the sets in that."""
        if not name.startswith("@"):
            return {name}
        status, said = self.analyze("syscall-filter", name)
        self.assertEqual(status, 0, said)
        found = set()
        for entry in re.findall(r"^    ([@\w-]+)$", said, re.MULTILINE):
            found |= self.members(entry)
        return found

    def test_calls(self):
        """What the agent's own filter lets through, and what it makes to set that up."""
        with open(f"{SOURCE}/agent/confine.c", encoding="utf-8") as file:
            wanted = set(re.findall(r"SCMP_SYS\((\w+)\)", file.read()))
        self.assertGreater(len(wanted), 50)
        # A refusal of these two is one that is understood.
        wanted -= {"sched_setaffinity", "fchown"}
        wanted |= {"execve", "prctl", "capget", "capset", "seccomp"}
        for unit in UNITS:
            allowed = set()
            for line in settings(unit, "SystemCallFilter"):
                for name in line.lstrip("~").split():
                    if line.startswith("~"):
                        allowed -= self.members(name)
                    else:
                        allowed |= self.members(name)
            self.assertEqual(wanted - allowed - self.members("@default"), set(), unit)


class Started(Bus):
    def test_command(self):
        """The agent takes the options that the units give it."""
        for unit in UNITS:
            (command,) = settings(unit, "ExecStart")
            _, *arguments = command.split()
            arguments = [str(os.getegid()) if a == "shmbus" else a for a in arguments]
            arguments = [self.bus if a in ("%i", "default") else a for a in arguments]
            agent = self.start("shmbus-agent", *arguments)
            self.wait_for(self.snapshot, "a snapshot")
            self.assertEqual(self.stop(agent), 0)
            os.unlink(self.files("snapshot")[0])

    def test_log(self):
        """The log takes its options, and does nothing before it is asked for."""
        self.agent()
        for unit in LOGS:
            (command,) = settings(unit, "ExecStart")
            _, *arguments = command.split()
            with tempfile.TemporaryDirectory() as directory:
                arguments = [re.sub("%i|default", self.bus, a) for a in arguments]
                arguments = [a.replace("/var/log/shmbus", directory) for a in arguments]
                self.assertEqual(self.run_tool("shmbus", *arguments).returncode, 0)
                self.assertEqual(os.listdir(directory), [])
                self.env["SHMBUS_METRICS_JSON"] = "1"
                log = self.start("shmbus", *arguments)
                path = f"{directory}/{self.bus}.jsonl"
                self.wait_for(lambda path=path: os.path.isfile(path) and os.path.getsize(path),
                              "the first record")
                self.assertEqual(self.stop(log), 0)
                del self.env["SHMBUS_METRICS_JSON"]

    def test_gateway(self):
        """The gateway takes the options of its units, and tells systemd when it is ready."""
        for unit in GATEWAYS:
            (command,) = settings(unit, "ExecStart")
            _, *arguments = command.split()
            arguments = [re.sub("%i|default", self.bus, a) for a in arguments]
            with tempfile.TemporaryDirectory() as directory:
                self.env["SHMBUS_GATEWAY_LISTEN"] = f"unix:{directory}/http"
                self.env["NOTIFY_SOCKET"] = f"{directory}/notify"
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                    notify.bind(self.env["NOTIFY_SOCKET"])
                    notify.settimeout(30)
                    gateway = self.start("shmbus-gateway", *arguments)
                    self.assertEqual(notify.recv(100), b"READY=1")
                    self.assertEqual(self.stop(gateway), 0)
                    self.assertEqual(notify.recv(100), b"STOPPING=1")

    def test_logrotate(self):
        """logrotate moves the file away, and the log goes on in a new one."""
        if shutil.which("logrotate") is None or os.geteuid() != 0:
            self.skipTest("needs logrotate and root")
        self.agent()
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/default.jsonl"
            self.start("shmbus", "log", "--file", path, "--interval", "0.1")
            self.wait_for(lambda: os.path.isfile(path) and os.path.getsize(path), "records")
            with open(f"{SOURCE}/readers/systemd/shmbus.logrotate", encoding="utf-8") as file:
                text = file.read().replace("/var/log/shmbus", directory)
            with open(f"{directory}/rotate", "w", encoding="utf-8") as file:
                file.write(text.replace("su shmbus shmbus", "su root root"))
            os.chmod(f"{directory}/rotate", 0o644)
            result = subprocess.run(
                ["logrotate", "-f", "-s", f"{directory}/state", f"{directory}/rotate"], text=True,
                capture_output=True, timeout=60, check=False)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertTrue(os.path.getsize(f"{path}.1"))
            self.wait_for(lambda: os.path.isfile(path) and os.path.getsize(path), "the new file")

    def test_installed(self):
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(["cmake", "--install", BUILD, "--prefix", directory], check=True,
                           stdout=subprocess.DEVNULL, timeout=120)
            for unit in (*UNITS, *LOGS, *GATEWAYS, *SOCKETS):
                self.assertTrue(os.path.isfile(f"{directory}/lib/systemd/{unit}"), unit)
            self.assertTrue(os.path.isfile(f"{directory}/share/shmbus/examples/shmbus.logrotate"))
            with open(f"{directory}/lib/sysusers.d/shmbus.conf", encoding="utf-8") as file:
                self.assertRegex(file.read(), r"(?m)^u shmbus ")


if __name__ == "__main__":
    unittest.main()
