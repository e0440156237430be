# SPDX-License-Identifier: MIT
"""The gateway as a server: where it listens, whom it answers, what it stands, how it ends."""

import http.client
import json
import os
import pathlib
import select
import signal
import socket
import stat
import subprocess
import tempfile
import time
import unittest

from bus import BIN
from gateway import Gateway

SNAPSHOT = "/api/v1/snapshot"


class Answers(Gateway):
    def test_snapshot(self):
        """The same document as the reader's, in both forms."""
        self.agent()
        gateway = self.gateway()
        self.held("x")
        self.aggregated("x")
        self.wait_for(lambda: self.get_json(gateway, SNAPSHOT)["sessions"], "the session")
        theirs = self.get_json(gateway, SNAPSHOT)
        ours = self.snapshot()
        self.assertEqual(list(theirs), list(ours))
        self.assertEqual(list(theirs["sessions"][0]), list(ours["sessions"][0]))
        self.assertEqual(theirs["totals"]["metrics"][0]["sum"], ours["totals"]["metrics"][0]["sum"])
        status, headers, body = self.get(gateway, SNAPSHOT, headers={"Accept":
                                                                      "application/msgpack"})
        self.assertEqual((status, headers["content-type"]), (200, "application/msgpack"))
        self.assertIn(body[0] & 0xf0, (0x80, 0xd0))

    def test_without_an_agent(self):
        gateway = self.gateway()
        error = self.get_json(gateway, SNAPSHOT, status=503)["error"]
        self.assertIn("no agent has published", error)
        self.agent()
        self.wait_for(lambda: self.get(gateway, SNAPSHOT)[0] == 200, "the first snapshot")

    def test_paths_and_methods(self):
        gateway = self.gateway()
        self.assertIn("/metrics", self.get_json(gateway, "/nothing", status=404)["error"])
        self.assertIn("POST is not allowed",
                      self.get_json(gateway, SNAPSHOT, status=405, method="POST",
                                    body=b"x")["error"])
        self.assertEqual(self.get(gateway, SNAPSHOT, method="POST", body=b"x" * 70000)[0], 413)
        status, headers, body = self.get(gateway, SNAPSHOT, method="HEAD")
        self.assertEqual((status, body), (503, b""))
        self.assertGreater(int(headers["content-length"]), 0)

    def test_headers(self):
        gateway = self.gateway()
        for path in (SNAPSHOT, "/nothing"):
            _, headers, _ = self.get(gateway, path)
            self.assertIn("default-src 'none'", headers["content-security-policy"])
            self.assertNotIn("unsafe", headers["content-security-policy"])
            self.assertEqual(headers["x-content-type-options"], "nosniff")

    def test_hosts(self):
        """A name that is not this host's may be a stranger's page."""
        gateway = self.gateway("--hosts", "metrics.lan")
        for host, wanted in (("127.0.0.1", 503), ("localhost:1", 503), (socket.gethostname(), 503),
                             ("metrics.lan:80", 503), ("evil.example", 421), ("", 421)):
            status, _, body = self.get(gateway, SNAPSHOT, headers={"Host": host})
            self.assertEqual(status, wanted, (host, body))
            if wanted == 421:
                self.assertIn("--hosts", json.loads(body)["error"])

    def test_access_log(self):
        gateway = self.gateway("--access-log")
        self.get(gateway, "/a%1b%0a%00b")
        line = gateway.stderr.readline()
        self.assertRegex(line, r"^shmbus-gateway: 127\.0\.0\.1 GET /a\?\?.* 404 [0-9.]+ ms$")
        self.assertTrue(line.rstrip("\n").isprintable())


class Listening(Gateway):
    def test_addresses(self):
        with tempfile.TemporaryDirectory() as directory:
            path = f"{directory}/socket"
            gateway = self.gateway(listen=("127.0.0.1:0", f"unix:{path}"))
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o660)
            result = subprocess.run(["curl", "-s", "--unix-socket", path,
                                     f"http://any.name{SNAPSHOT}"], capture_output=True,
                                    timeout=30, check=True)
            self.assertIn(b"no agent has published", result.stdout)
            self.assertEqual(self.stop(gateway), 0)
            self.assertFalse(os.path.exists(path))

    def test_ipv6(self):
        interfaces = pathlib.Path("/proc/net/if_inet6")
        if not interfaces.exists() or "lo" not in interfaces.read_text(encoding="ascii"):
            self.skipTest("there is no IPv6 here")
        gateway = self.gateway(listen=("[::1]:0",))
        result = subprocess.run(["curl", "-sg", f"{gateway.url}nothing"], capture_output=True,
                                timeout=30, check=True)
        self.assertIn(b"error", result.stdout)

    def test_refused(self):
        with tempfile.TemporaryDirectory() as directory:
            with open(f"{directory}/file", "w", encoding="utf-8") as file:
                file.write("precious")
            with socket.create_server(("127.0.0.1", 0)) as taken:
                port = taken.getsockname()[1]
                for place, words in ((f"127.0.0.1:{port}", "in use"), ("9750", "ADDR:PORT"),
                                     ("::1:80", "ADDR:PORT"), ("127.0.0.1:70000", "ADDR:PORT"),
                                     ("evil.example:80", "ADDR:PORT"),
                                     ("unix:relative", "absolute"),
                                     (f"unix:{directory}/no/such", "No such"),
                                     (f"unix:{directory}/file", "in use")):
                    result = self.run_tool("shmbus-gateway", "--listen", place)
                    self.assertEqual(result.returncode, 1, place)
                    self.assertIn(words, result.stderr)
            with open(f"{directory}/file", encoding="utf-8") as file:
                self.assertEqual(file.read(), "precious")

    def test_left_over_socket(self):
        """A killed gateway's socket is taken over, a living one's is not."""
        with tempfile.TemporaryDirectory() as directory:
            place = f"unix:{directory}/socket"
            self.stop(self.gateway(listen=(place,)), signal.SIGKILL)
            self.gateway(listen=(place,))
            result = self.run_tool("shmbus-gateway", "--listen", place)
            self.assertEqual(result.returncode, 1)
            self.assertIn("in use", result.stderr)

    def test_systemd(self):
        """Sockets that are handed over go before --listen."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            # A descriptor 3 of the child's own, and its own pid in LISTEN_PID.
            ours = server.fileno()
            moved = "" if ours == 3 else f"3<&{ours} {ours}<&-"
            script = (f'exec env LISTEN_PID=$$ LISTEN_FDS=1 "{BIN}/shmbus-gateway" '
                      f'--listen 127.0.0.1:1 {moved}')
            child = subprocess.Popen(["bash", "-c", script], env=self.env, text=True,
                                     pass_fds=[server.fileno()], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.children.append(child)
            self.assertIn(f"http://127.0.0.1:{port}/", child.stderr.readline())
        child.port = port
        self.assertEqual(self.get(child, SNAPSHOT)[0], 503)
        self.assertEqual(self.stop(child), 0)


class Hostile(Gateway):
    """Clients that break the rules, and others beside them that do not notice."""

    def connect(self, gateway):
        client = socket.create_connection(("127.0.0.1", gateway.port), timeout=60)
        self.addCleanup(client.close)
        return client

    def served(self, gateway):
        self.assertEqual(self.get(gateway, SNAPSHOT)[0], 200)

    def ended(self, client):
        """All that it was told, up to the end of the connection."""
        found = b""
        try:
            while part := client.recv(65536):
                found += part
        except ConnectionError:
            pass
        return found

    def setUp(self):
        super().setUp()
        self.agent()

    def served_by(self, *arguments):
        gateway = self.gateway(*arguments)
        self.wait_for(lambda: self.get(gateway, SNAPSHOT)[0] == 200, "a snapshot")
        return gateway

    def test_garbage(self):
        gateway = self.served_by("--timeout", "1")
        for bytes_sent in (b"\x00\xff\xfe\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 5000,
                           b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
                           b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                           b"POST /x HTTP/1.1\r\nHost: localhost\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
                           os.urandom(4096)):
            client = self.connect(gateway)
            try:
                client.sendall(bytes_sent)
            except ConnectionError:
                pass
            self.served(gateway)
            found = self.ended(client)
            self.assertNotIn(b" 200 ", found.split(b"\r\n")[0], bytes_sent)

    def test_large_headers(self):
        gateway = self.served_by()
        client = self.connect(gateway)
        try:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * (1 << 20) +
                           b"\r\n\r\n")
        except ConnectionError:
            pass
        self.assertIn(self.ended(client)[:12], (b"", b"HTTP/1.1 431"))
        self.served(gateway)

    def test_half_a_request(self):
        """What never becomes whole is ended, however it trickles in."""
        gateway = self.served_by("--timeout", "1")
        silent, half, trickle = (self.connect(gateway) for _ in range(3))
        half.sendall(b"GET /metrics HTTP/1.1\r\nHost: lo")
        trickle.settimeout(0.1)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                trickle.sendall(b"G")
                if trickle.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        else:
            self.fail("a request that trickles in was never ended")
        self.ended(silent)
        self.ended(half)
        self.served(gateway)

    def test_connections(self):
        """No more than it may have, and all of them again when they have gone."""
        gateway = self.served_by("--connections-per-address", "8", "--timeout", "3600")
        clients = [self.connect(gateway) for _ in range(40)]
        for client in clients:
            client.sendall(b"GET / HT")
        # One of the places may still be that of the request before.
        self.wait_for(lambda: len(select.select(clients, [], [], 0)[0]) >= 32, "refusals")
        for client in select.select(clients, [], [], 0)[0]:
            self.assertEqual(self.ended(client), b"")
        for client in clients:
            client.close()
        self.wait_for(lambda: self.answered(gateway), "room for connections")

    def answered(self, gateway):
        try:
            return self.get(gateway, SNAPSHOT)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def test_not_read(self):
        """An answer that nobody takes keeps nobody waiting."""
        gateway = self.served_by()
        self.held("x", "--every")
        self.aggregated("x", 1400)
        client = socket.socket()
        self.addCleanup(client.close)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", gateway.port))
        request = f"GET {SNAPSHOT} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        client.sendall(request * 100)
        for _ in range(20):
            self.served(gateway)


class Ending(Gateway):
    def test_stopped(self):
        for how in (signal.SIGTERM, signal.SIGINT):
            gateway = self.gateway()
            idle = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
            self.assertEqual(self.get(gateway, SNAPSHOT, connection=idle)[0], 503)
            self.assertEqual(self.stop(gateway, how), 0)
            self.assertEqual(idle.sock.recv(1), b"")
            idle.close()

    def test_killed(self):
        """The agent does not notice."""
        self.agent()
        gateway = self.gateway()
        self.wait_for(lambda: self.get(gateway, SNAPSHOT)[0] == 200, "a snapshot")
        self.stop(gateway, signal.SIGKILL)
        seq = self.snapshot()["seq"]
        self.wait_for(lambda: self.snapshot()["seq"] > seq + 3, "snapshots")


if __name__ == "__main__":
    unittest.main()
