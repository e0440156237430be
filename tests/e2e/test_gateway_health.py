# SPDX-License-Identifier: MIT
"""Services that are stopped for real, and what the gateway makes of them, of the bus and of the
agent."""

import http.client
import http.server
import json
import os
import signal
import socket
import tempfile
import threading

from gateway import Gateway

HEALTH = "/api/v1/monitoring/health"
SERVICES = HEALTH + "/services"
METRICS = "/api/v1/monitoring/metrics"
STATUS = "/api/v1/monitoring/status"
TOKEN = "correct-horse-battery"


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # pylint: disable=invalid-name
        self.server.asked.append(dict(self.headers, path=self.path))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", str(len(self.server.text)))
        self.end_headers()
        self.wfile.write(self.server.text)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


class Web:
    """An HTTP server that can be stopped and started again on its port."""

    def __init__(self, status=200, text=b"fine"):
        self.status, self.text, self.port = status, text, 0
        self.asked = []
        self.location = ""
        self.server = None
        self.start()

    def start(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Answer)
        self.server.status, self.server.text = self.status, self.text
        self.server.asked, self.server.location = self.asked, self.location
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self):
        if self.server is not None:
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()
            self.server = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/health"


class UnixGateway(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Health(Gateway):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def web(self, **options):
        web = Web(**options)
        self.addCleanup(web.stop)
        return web

    def listener(self, family=socket.AF_INET, address=("127.0.0.1", 0), backlog=64):
        """Something that is listened on, whose connections nobody takes."""
        sock = socket.socket(family)
        self.addCleanup(sock.close)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(backlog)
        return sock

    def config(self, services, interval=0.2, timeout=0.2, **common):
        """The file of services {name: {option: value}}, and the gateway's option for it."""
        path = os.path.join(self.folder, "gateway.ini")
        with open(path, "w", encoding="utf-8") as file:
            for name, options in services.items():
                print(f"[service {name}]", file=file)
                for key, value in {"interval": interval, "timeout": timeout, **common,
                                   **options}.items():
                    print(f"{key} = {value}", file=file)
        return "--config", path

    def token(self):
        path = os.path.join(self.folder, "token")
        with open(path, "w", encoding="utf-8") as file:
            print(TOKEN, file=file)
        return "--admin-token-file", path

    def changes(self, gateway, name, *patterns):
        """Reads what the gateway says of the next changes of a service's state."""
        for pattern in patterns:
            line = gateway.stderr.readline()
            while f" service {name}: " not in line:
                self.assertNotEqual(line, "", pattern)
                line = gateway.stderr.readline()
            self.assertRegex(line, f" service {name}: {pattern}")

    def services(self, gateway):
        return {one["name"]: one for one in self.get_json(gateway, SERVICES)}

    def service(self, gateway, name):
        return self.services(gateway)[name]

    def becomes(self, gateway, name, status):
        def found():
            service = self.service(gateway, name)
            return service if service["status"] == status else None
        return self.wait_for(found, f"{name} to be {status}")


class Probes(Health):
    def test_a_life(self):
        """HEALTHY, DEGRADED, FAILED after the third failure, the fallback in its place; and back,
        after three that succeed."""
        web, backup = self.web(), self.listener()
        gateway = self.gateway(*self.config({
            "asr": {"url": web.url, "group": "speech", "critical": "yes", "interval": 1,
                    "timeout": 1},
            "asr-backup": {"url": "tcp://127.0.0.1:%d" % backup.getsockname()[1],
                           "group": "speech", "role": "fallback"},
        }))
        asr = self.wait_for(lambda: (s := self.service(gateway, "asr"))["checks_total"] > 0 and s,
                            "the first probe")
        self.assertEqual((asr["status"], asr["active"], asr["failures"]), ("HEALTHY", True, 0))
        self.assertEqual((asr["role"], asr["group"], asr["critical"]), ("primary", "speech", True))
        self.assertGreater(asr["latency_ms"], 0)
        self.assertGreaterEqual(asr["last_check_unix_ns"], asr["last_success_unix_ns"])
        self.assertNotIn("last_error", asr)
        self.assertFalse(self.service(gateway, "asr-backup")["active"])
        self.assertEqual(self.get_json(gateway, HEALTH)["groups"],
                         [{"name": "speech", "active": "asr", "role": "primary"}])

        web.stop()
        self.changes(gateway, "asr", "DEGRADED after HEALTHY, failures in a row: 1: ",
                     "FAILED after DEGRADED, failures in a row: 3: ")
        asr = self.service(gateway, "asr")
        self.assertEqual(asr["status"], "FAILED")
        self.assertGreaterEqual(asr["failures"], 3)
        self.assertRegex(asr["last_error"], "(?i)connect")
        self.assertFalse(asr["active"])
        self.assertTrue(self.service(gateway, "asr-backup")["active"])
        health = self.get_json(gateway, HEALTH, status=503)
        self.assertEqual((health["status"], health["critical_down"]), ("FAILED", ["asr"]))
        self.assertEqual(health["groups"],
                         [{"name": "speech", "active": "asr-backup", "role": "fallback"}])
        self.assertEqual(health["services"],
                         {"total": 2, "healthy": 1, "degraded": 0, "failed": 1})
        self.assertIn("critical service asr is FAILED", health["reasons"])

        web.start()
        self.changes(gateway, "asr", "DEGRADED after FAILED$")
        self.assertTrue(self.service(gateway, "asr")["active"])
        self.changes(gateway, "asr", "HEALTHY after DEGRADED$")
        asr = self.service(gateway, "asr")
        self.assertEqual((asr["status"], asr["active"], asr["failures"]), ("HEALTHY", True, 0))
        self.assertGreaterEqual(asr["failures_total"], 3)
        self.assertGreater(asr["last_success_unix_ns"], asr["last_failure_unix_ns"])
        self.assertEqual(self.get_json(gateway, HEALTH)["critical_down"], [])

    def test_not_critical(self):
        """Then /health is degraded and says so, with 200."""
        gateway = self.gateway(*self.config({"x": {"url": "unix:///nonexistent/socket"}}))
        service = self.becomes(gateway, "x", "FAILED")
        self.assertIn("No such file", service["last_error"])
        health = self.get_json(gateway, HEALTH)
        self.assertEqual((health["status"], health["critical_down"]), ("DEGRADED", []))
        self.assertEqual(health["groups"], [])

    def test_statuses(self):
        """Below 400 is good, redirects are not followed; expect-status is the only one."""
        trap = self.web()
        moved = self.web(status=302)
        moved.stop()
        moved.location = trap.url
        moved.start()
        teapot, broken = self.web(status=418), self.web(status=500, text=b"x" * 300000)
        gateway = self.gateway(*self.config({
            "moved": {"url": moved.url}, "teapot": {"url": teapot.url, "expect-status": 418},
            "broken": {"url": broken.url}, "strict": {"url": trap.url + "?x",
                                                      "expect-status": 204},
        }, timeout=60, interval=60))
        self.wait_for(lambda: all(s["checks_total"] > 0 for s in self.get_json(gateway, SERVICES)),
                      "a probe of each")
        services = self.services(gateway)
        for name in ("moved", "teapot"):
            self.assertEqual(services[name]["failures"], 0, services[name])
        self.assertEqual(services["broken"]["last_error"], "HTTP status 500")
        self.assertEqual(services["strict"]["last_error"], "HTTP status 200")
        self.assertTrue(all(one["path"].endswith("?x") for one in trap.asked), trap.asked)
        self.assertRegex(moved.asked[0]["User-Agent"], r"^shmbus-gateway/\d")

    def test_endless_answer(self):
        """An answer that never ends is long enough at some time."""
        def flood(listener):
            connection, _ = listener.accept()
            with connection:
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                    while True:
                        connection.sendall(b"x" * 65536)
                except OSError:
                    pass
        listener = self.listener()
        thread = threading.Thread(target=flood, args=(listener,))
        thread.start()
        self.addCleanup(thread.join)
        gateway = self.gateway(*self.config(
            {"x": {"url": "http://127.0.0.1:%d/" % listener.getsockname()[1]}},
            interval=60, timeout=30))
        service = self.wait_for(lambda: (s := self.service(gateway, "x"))["checks_total"] and s,
                                "the probe")
        self.assertEqual(service["failures"], 0, service)

    def test_no_proxy(self):
        """Whatever the environment says of proxies, a probe asks the service itself."""
        web = self.web()
        self.env["http_proxy"] = self.env["ALL_PROXY"] = "http://127.0.0.1:1"
        gateway = self.gateway(*self.config({"x": {"url": web.url}}, timeout=60, interval=60))
        self.wait_for(lambda: self.service(gateway, "x")["checks_total"], "the probe")
        self.assertEqual(self.service(gateway, "x")["failures"], 0)

    def test_hanging_does_not_delay(self):
        """A service that accepts and says nothing times out; the others are probed meanwhile, and
        the gateway answers."""
        web, silent = self.web(), self.listener()
        gateway = self.gateway(*self.config({
            "silent": {"url": "http://127.0.0.1:%d/" % silent.getsockname()[1], "timeout": 10,
                       "interval": 10},
            "quick": {"url": web.url},
        }))
        hanging = silent.accept()[0]
        self.addCleanup(hanging.close)
        quick = self.service(gateway, "quick")["checks_total"]
        self.wait_for(lambda: self.service(gateway, "quick")["checks_total"] >= quick + 5,
                      "probes of another service")
        self.assertEqual(self.service(gateway, "silent")["checks_total"], 0)
        self.changes(gateway, "silent", "DEGRADED after HEALTHY, failures in a row: 1: .*timed out")
        hanging.settimeout(30)
        while hanging.recv(4096):
            pass

    def test_unix(self):
        """A Unix socket: there, with a queue that is full, gone, and there again."""
        path = os.path.join(self.folder, "service.sock")
        listener = self.listener(socket.AF_UNIX, path, backlog=512)
        gateway = self.gateway(*self.config({"x": {"url": "unix://" + path}}, timeout=0.2,
                                            interval=0.2))
        self.wait_for(lambda: self.service(gateway, "x")["checks_total"] >= 2, "two probes")
        self.assertEqual(self.service(gateway, "x")["failures_total"], 0)
        listener.close()
        self.assertIn("refused", self.becomes(gateway, "x", "FAILED")["last_error"])
        os.unlink(path)
        self.wait_for(lambda: "No such file" in self.service(gateway, "x")["last_error"],
                      "the other error")
        listener = self.listener(socket.AF_UNIX, path, backlog=0)
        fillers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for filler in fillers:
            self.addCleanup(filler.close)
            filler.setblocking(False)
            try:
                filler.connect(path)
            except BlockingIOError:
                pass
        self.wait_for(lambda: "queue is full" in self.service(gateway, "x")["last_error"],
                      "a full queue")
        self.assertEqual(self.service(gateway, "x")["status"], "FAILED")
        listener.close()
        os.unlink(path)
        self.listener(socket.AF_UNIX, path, backlog=512)
        self.becomes(gateway, "x", "HEALTHY")

    def test_descriptors(self):
        """Probes leave none behind."""
        web, tcp = self.web(), self.listener(backlog=4096)
        path = os.path.join(self.folder, "service.sock")
        self.listener(socket.AF_UNIX, path, backlog=4096)
        gateway = self.gateway(*self.config({
            "http": {"url": web.url},
            "tcp": {"url": "tcp://127.0.0.1:%d" % tcp.getsockname()[1]},
            "unix": {"url": "unix://" + path},
            "none": {"url": "tcp://127.0.0.1:1"},
        }, interval=0.05, timeout=0.05))

        def checks():
            return min(s["checks_total"] for s in self.get_json(gateway, SERVICES))
        self.wait_for(lambda: checks() >= 3, "the first probes")
        def descriptors():
            return len(os.listdir(f"/proc/{gateway.pid}/fd"))
        before = descriptors()
        self.wait_for(lambda: checks() >= 25, "many probes")
        self.wait_for(lambda: descriptors() <= before + 3, "descriptors to be closed")

    def test_end(self):
        """It ends while probes and a push are under way."""
        self.agent()
        silent, collector = self.listener(), self.listener()
        full = os.path.join(self.folder, "full.sock")
        self.listener(socket.AF_UNIX, full, backlog=0)
        filler = socket.socket(socket.AF_UNIX)
        self.addCleanup(filler.close)
        filler.connect(full)
        gateway = self.gateway(*self.config({
            "http": {"url": "http://127.0.0.1:%d/" % silent.getsockname()[1]},
            "unix": {"url": "unix://" + full},
        }, interval=60, timeout=60), "--otlp-interval", "0.1", "--otlp",
            "http://127.0.0.1:%d/" % collector.getsockname()[1])
        for listener in (silent, collector):
            connection = listener.accept()[0]
            self.addCleanup(connection.close)
        self.assertEqual(self.stop(gateway), 0)

    def test_a_password_is_not_shown(self):
        web = self.web()
        url = web.url.replace("http://", "http://user:s3cret@")
        gateway = self.gateway(*self.config({"x": {"url": url}}, timeout=60, interval=60))
        self.wait_for(lambda: web.asked, "a probe")
        self.assertIn("Authorization", web.asked[0])
        self.assertEqual(self.service(gateway, "x")["url"], web.url)


class Reset(Health):
    def reset(self, gateway, name, headers=None, connection=None):
        status, found, body = self.get(gateway, f"{HEALTH}/reset/{name}", method="POST", body=b"",
                                       headers=headers, connection=connection)
        return status, found, json.loads(body)

    def test_tokens(self):
        config = self.config({"x": {"url": "unix:///nonexistent/socket"}}, interval=60, timeout=1)
        gateway = self.gateway(*config, *self.token())
        self.wait_for(lambda: self.service(gateway, "x")["failures"], "a failure")
        status, headers, answer = self.reset(gateway, "x")
        self.assertEqual((status, headers["www-authenticate"]), (401, "Bearer"))
        self.assertIn("Authorization: Bearer", answer["error"])
        for wrong in (f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", f"Basic {TOKEN}",
                      TOKEN):
            self.assertEqual(self.reset(gateway, "x", {"Authorization": wrong})[0], 403, wrong)
        self.assertEqual(self.service(gateway, "x")["failures_total"], 1)
        right = {"Authorization": f"Bearer {TOKEN}"}
        status, _, answer = self.reset(gateway, "x", right)
        self.assertEqual((status, answer["id"], answer["status"]), (200, "x", "HEALTHY"))
        self.assertEqual((answer["failures_total"], answer["checks_total"]), (0, 0))
        self.assertNotIn("last_error", answer)
        # It is probed again at once, not in a minute.
        self.wait_for(lambda: self.service(gateway, "x")["failures_total"] == 1, "the next probe")
        self.assertEqual(self.reset(gateway, "y", right)[0], 404)
        self.assertEqual(self.reset(gateway, "", right)[0], 404)
        self.assertEqual(self.get(gateway, f"{HEALTH}/reset/x", headers=right)[0], 405)

    def test_without_a_token(self):
        """Over TCP nobody may, over a Unix socket who may connect."""
        web = self.web()
        path = os.path.join(self.folder, "gateway.sock")
        gateway = self.gateway(*self.config({"x": {"url": web.url, "timeout": 60, "interval": 60}}),
                               listen=("127.0.0.1:0", f"unix:{path}"))
        status, _, answer = self.reset(gateway, "x", {"Authorization": f"Bearer {TOKEN}"})
        self.assertEqual(status, 403)
        self.assertIn("--admin-token-file", answer["error"])
        self.assertEqual(self.reset(gateway, "x")[0], 403)
        connection = UnixGateway(path)
        self.addCleanup(connection.close)
        self.assertEqual(self.reset(gateway, "x", connection=connection)[0], 200)

    def test_while_it_is_probed(self):
        """The probe under way is given up; its result is not the new life's."""
        silent = self.listener()
        gateway = self.gateway(*self.config(
            {"x": {"url": "http://127.0.0.1:%d/" % silent.getsockname()[1]}}, interval=60,
            timeout=60), *self.token())
        first = silent.accept()[0]
        self.addCleanup(first.close)
        status, _, _ = self.reset(gateway, "x", {"Authorization": f"Bearer {TOKEN}"})
        self.assertEqual(status, 200)
        second = silent.accept()[0]
        self.addCleanup(second.close)
        first.settimeout(30)
        while first.recv(4096):
            pass
        second.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        service = self.wait_for(lambda: (s := self.service(gateway, "x"))["checks_total"] and s,
                                "the second probe")
        self.assertEqual((service["checks_total"], service["failures_total"]), (1, 0))


class TheBus(Health):
    def test_agent(self):
        """Without an agent, with one, and after its death."""
        gateway = self.gateway()
        health = self.get_json(gateway, HEALTH)
        self.assertEqual((health["status"], health["agent"]["state"]), ("DEGRADED", "waiting"))
        self.assertIn("no agent", health["reasons"][0])
        self.get_json(gateway, METRICS, status=503)
        agent = self.agent()
        health = self.wait_for(
            lambda: (h := self.get_json(gateway, HEALTH))["status"] == "HEALTHY" and h,
            "the agent to be seen")
        self.assertEqual((health["agent"]["state"], health["agent"]["pid"]), ("live", agent.pid))
        self.assertEqual(health["reasons"], [])
        self.stop(agent, signal.SIGKILL)
        health = self.wait_for(
            lambda: (h := self.get_json(gateway, HEALTH))["status"] == "DEGRADED" and h,
            "the agent's death to be seen")
        self.assertEqual(health["agent"]["state"], "stale")
        self.assertGreater(health["agent"]["age_ns"], 0)

    def test_sessions(self):
        """A stopped one is stale; a killed one is lost; "value"'s target is no time."""
        self.agent("--stale-after", "1s")
        gateway = self.gateway()
        producer = self.held("x", "--count", "100")
        health = self.wait_for(
            lambda: (h := self.get_json(gateway, HEALTH))["targets"]["total"] and h,
            "the session's target")
        self.assertEqual(health["sessions"]["running"], 1)
        self.assertEqual(health["targets"], {"total": 1, "missed": 0})
        self.assertEqual(health["latency_targets"], [])
        self.assertEqual(health["status"], "HEALTHY", health["reasons"])
        self.suspend(producer)
        health = self.wait_for(
            lambda: (h := self.get_json(gateway, HEALTH))["sessions"]["stale"] and h,
            "the session to be stale")
        self.assertEqual(health["status"], "DEGRADED")
        self.assertIn("sessions without a sign of life: 1", health["reasons"])
        producer.kill()
        health = self.wait_for(
            lambda: (h := self.get_json(gateway, HEALTH))["sessions"]["lost"] and h,
            "the session to be lost")
        self.assertEqual(health["sessions"]["lost_recently"], 1)
        self.assertIn("sessions lost in the last 5 minutes: 1", health["reasons"])

    def test_targets_and_recent(self):
        """"stage.time" takes 30 us to 3 ms, and shall take 1 ms: it misses its target."""
        self.agent()
        gateway = self.gateway()
        producer = self.held("x", "--count", "5000", "--values", "2000", "--every")
        health = self.wait_for(
            lambda: (h := self.get_json(gateway, HEALTH))["targets"]["missed"] and
            any(t.get("violations") == 67 for t in h["latency_targets"]) and h,
            "a missed target, with all samples")
        self.assertEqual(health["status"], "DEGRADED")
        self.assertEqual(health["sessions"]["missing_targets"], 1)
        goal = next(t for t in health["latency_targets"] if t["name"] == "stage.time")
        self.assertEqual((goal["target_ms"], goal["met"], goal["stage"]), (1, False, "decode"))
        self.assertGreater(goal["actual_ms"], 1)
        producer.stdin.close()
        self.assertEqual(producer.wait(timeout=30), 0)
        metrics = self.wait_for(
            lambda: (m := self.get_json(gateway, METRICS))["recent"]["sessions"] and m,
            "the finished session")
        self.assertEqual(metrics["recent"]["sessions"], 1)
        self.assertGreater(metrics["recent"]["duration_ms"], 0)
        recent = next(m for m in metrics["recent"]["metrics"] if m["name"] == "stage.time")
        self.assertEqual((recent["unit"], recent["stage"]), ("ms", "decode"))
        self.assertEqual((recent["count"], recent["sessions"]), (100, 1))
        self.assertAlmostEqual(recent["mean"], 1.515, places=6)
        self.assertEqual((recent["judged"], recent["met"]), (1, 0))
        size = next(m for m in metrics["recent"]["metrics"] if m["name"] == "block")
        self.assertEqual((size["unit"], size["mean"]), ("By", 50500))
        self.assertIn(goal, metrics["latency_targets"])
        # A session that is over counts no more against the bus.
        health = self.wait_for(
            lambda: (h := self.get_json(gateway, HEALTH))["sessions"]["running"] == 0 and h,
            "the session to be over")
        self.assertEqual(health["status"], "HEALTHY", health["reasons"])

    def test_drops(self):
        """Drops that come while it looks; those before it are history."""
        agent = self.agent()
        gateway = self.gateway()
        self.suspend(agent)
        producer = self.producer("--id", "x", "--count", "100000", "--hold")
        self.report(producer)
        agent.send_signal(signal.SIGCONT)
        health = self.wait_for(
            lambda: (h := self.get_json(gateway, HEALTH))["drops"]["total"] and h, "drops")
        self.assertTrue(health["drops"]["recently"])
        self.assertIn("samples were dropped in the last 5 minutes", health["reasons"])
        self.assertEqual(health["status"], "DEGRADED")
        later = self.gateway()
        self.wait_for(lambda: self.get_json(later, HEALTH)["drops"]["total"], "the history")
        self.assertFalse(self.get_json(later, HEALTH)["drops"]["recently"])

    def test_status(self):
        self.agent()
        path = os.path.join(self.folder, "gateway.sock")
        gateway = self.gateway(*self.config({"x": {"url": "unix:///nonexistent/socket"}}),
                               listen=("127.0.0.1:0", f"unix:{path}"))
        status = self.wait_for(
            lambda: (s := self.get_json(gateway, STATUS))["feed"]["state"] == "live" and s,
            "the agent to be seen")
        version = self.run_tool("shmbus-gateway", "--version").stdout.split()[1]
        self.assertEqual((status["version"], status["pid"]), (version, gateway.pid))
        self.assertEqual(status["feed"]["bus"], self.bus)
        self.assertEqual(status["listeners"], gateway.addresses)
        self.assertEqual((status["services"], status["streams"]["open"]), (1, 0))
        self.assertGreater(status["uptime_s"], 0)
        self.assertNotIn("otlp", status)

    def test_in_streams(self):
        """Frames carry the verdict."""
        self.agent()
        gateway = self.gateway(*self.config(
            {"x": {"url": "unix:///nonexistent/socket", "critical": "yes"}}))
        self.becomes(gateway, "x", "FAILED")
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        self.addCleanup(connection.close)
        connection.request("GET", "/api/v1/stream?interval=0.1")
        response = connection.getresponse()
        while True:
            line = response.readline()
            self.assertNotEqual(line, b"")
            if line.startswith(b"data:") and b'"health"' in line:
                break
        self.assertEqual(json.loads(line[5:])["health"],
                         {"status": "FAILED", "critical_down": ["x"],
                          "services": {"total": 1, "healthy": 0, "degraded": 0, "failed": 1}})
        response.close()
