# SPDX-License-Identifier: MIT
"""What a collector gets from --otlp, and what happens while there is none that takes it."""

import http.server
import json
import threading

from bus import metric
from gateway import Gateway

STATUS = "/api/v1/monitoring/status"


class Collector(http.server.ThreadingHTTPServer):
    """Takes payloads as a collector does; answers with what it is told to."""

    daemon_threads = True

    def __init__(self, address=("127.0.0.1", 0)):
        super().__init__(address, Take)
        self.status, self.headers = 200, {}
        self.taken = []      # (status, headers, body)
        self.open = threading.Event()  # while it is not set, no answer comes
        self.open.set()
        self.at_once = self.at_once_max = 0
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1/metrics"

    def payloads(self, status=200):
        return [json.loads(body) for found, _, body in list(self.taken) if found == status]

    def stop(self):
        self.open.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


class Take(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):  # pylint: disable=invalid-name
        collector = self.server
        with collector.lock:
            collector.at_once += 1
            collector.at_once_max = max(collector.at_once_max, collector.at_once)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        collector.open.wait()
        with collector.lock:
            collector.at_once -= 1
            collector.taken.append((collector.status, dict(self.headers, path=self.path), body))
        answer = b'{"partialSuccess":{}}'
        self.send_response(collector.status)
        for name, value in collector.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


def metrics_of(payload):
    return payload["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]


def point(payload, name, kind):
    found = metric({"metrics": metrics_of(payload)}, name)
    return found[kind]["dataPoints"][0]


def attributes(holder):
    return {one["key"]: one["value"]["stringValue"] for one in holder["attributes"]}


class Otlp(Gateway):
    def collector(self):
        collector = Collector()
        self.addCleanup(collector.stop)
        return collector

    def pushing(self, collector, interval="0.1"):
        return self.gateway("--otlp", collector.url, "--otlp-interval", interval)

    def status(self, gateway):
        return self.get_json(gateway, STATUS)["otlp"]

    def taken(self, collector, name, kind, condition, what):
        """The first payload whose metric is as wanted."""
        def found():
            for payload in collector.payloads():
                if any(m["name"] == name for m in metrics_of(payload)) and \
                        condition(point(payload, name, kind)):
                    return payload
            return None
        return self.wait_for(found, what)

    def test_payload(self):
        """All kinds, with the snapshot's own numbers."""
        agent = self.agent()
        collector = self.collector()
        self.pushing(collector)
        self.every()
        payload = self.taken(collector, "value", "exponentialHistogram",
                             lambda p: p["count"] == "1000", "all samples")
        snapshot = self.snapshot()
        status, headers, _ = collector.taken[0]
        self.assertEqual((status, headers["path"]), (200, "/v1/metrics"))
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertNotIn("Expect", headers)
        resource = attributes(payload["resourceMetrics"][0]["resource"])
        self.assertEqual((resource["service.name"], resource["shmbus.bus"]), ("shmbus", self.bus))
        self.assertTrue(resource["service.instance.id"].endswith("/" + self.bus))

        value = metric(snapshot["totals"], "value")
        found = point(payload, "value", "exponentialHistogram")
        self.assertEqual((found["scale"], found["zeroCount"]), (5, "0"))
        self.assertEqual((found["sum"], found["min"], found["max"]), (500500, 1, 1000))
        self.assertEqual([int(n) for n in found["positive"]["bucketCounts"]],
                         value["histogram"]["buckets"])
        self.assertEqual(found["positive"]["offset"], value["histogram"]["offset"] - 1)
        self.assertEqual(int(found["startTimeUnixNano"]), snapshot["agent"]["start_time_unix_ns"])
        self.assertGreater(int(found["timeUnixNano"]), int(found["startTimeUnixNano"]))
        self.expect_bounds(found)

        stage = metric({"metrics": metrics_of(payload)}, "stage.time")
        self.assertEqual((stage["unit"], stage["description"]), ("ns", "Decodes a block."))
        self.assertEqual(attributes(stage["exponentialHistogram"]["dataPoints"][0]),
                         {"stage": "decode"})
        self.assertEqual(point(payload, "done", "sum")["asInt"], "1000")
        done = metric({"metrics": metrics_of(payload)}, "done")["sum"]
        self.assertEqual((done["isMonotonic"], done["aggregationTemporality"]), (True, 2))
        self.assertIn("asDouble", point(payload, "level", "gauge"))
        states = metric({"metrics": metrics_of(payload)}, "state")["sum"]
        self.assertFalse(states["isMonotonic"])
        self.assertEqual({attributes(p)["state"]: p["asInt"] for p in states["dataPoints"]},
                         {name: str(count) for name, count in
                          metric(snapshot["totals"], "state")["states"].items()})
        self.assertEqual(point(payload, "shmbus.samples", "sum")["asInt"], "1400")
        names = [m["name"] for m in metrics_of(payload)]
        self.assertNotIn("unset", names)
        self.assertNotIn("never", names)
        self.assertIsNone(agent.poll())

    def expect_bounds(self, found):
        """By OTLP's bounds, (base^i, base^(i+1)], the values 1 to 1000 are where they should."""
        base = 2 ** (2 ** -found["scale"])
        first = found["positive"]["offset"]
        for i, count in enumerate(int(n) for n in found["positive"]["bucketCounts"]):
            low, high = base ** (first + i), base ** (first + i + 1)
            # Bounds that are whole numbers are not met exactly by floating-point arithmetic.
            wanted = sum(low * (1 + 1e-9) < v <= high * (1 + 1e-9) for v in range(1, 1001))
            self.assertEqual(count, wanted, (low, high))

    def test_restarted_agent(self):
        """Sums go on, and are still from the same time."""
        agent = self.agent()
        collector = self.collector()
        self.pushing(collector)
        self.held("x")
        before = self.taken(collector, "done", "sum", lambda p: p["asInt"] == "1000", "the sum")
        self.stop(agent)
        self.agent()
        self.held("y")
        after = self.taken(collector, "done", "sum", lambda p: p["asInt"] == "2000", "both")
        self.assertEqual(point(after, "done", "sum")["startTimeUnixNano"],
                         point(before, "done", "sum")["startTimeUnixNano"])

    def test_refused_for_a_while(self):
        """503, and then all is there again: nothing is lost, as sums are cumulative."""
        self.agent()
        collector = self.collector()
        collector.status = 503
        gateway = self.pushing(collector)
        self.held("x")
        # A newer document takes the place of one that waits to be sent again.
        status = self.wait_for(lambda: (s := self.status(gateway))["failures_row"] >= 3 and
                               s["dropped"] > 0 and s, "failures")
        self.assertEqual((status["pushes"], status["last_error"]), (0, "HTTP status 503"))
        collector.status = 200
        self.taken(collector, "done", "sum", lambda p: p["asInt"] == "1000", "the sum")
        status = self.wait_for(lambda: (s := self.status(gateway))["pushes"] >= 2 and s, "pushes")
        self.assertEqual(status["failures_row"], 0)
        self.assertIn("last_success_unix_ns", status)
        times = [int(point(p, "shmbus.samples", "sum")["timeUnixNano"])
                 for p in collector.payloads()]
        self.assertEqual(times, sorted(set(times)), "each is newer than the one before")

    def test_not_to_be_sent_again(self):
        """400: that payload is given up; the next interval has another one."""
        self.agent()
        collector = self.collector()
        collector.status = 400
        gateway = self.pushing(collector)
        status = self.wait_for(lambda: (s := self.status(gateway))["failures"] >= 4 and s,
                               "failures")
        self.assertGreaterEqual(status["dropped"], 4)
        self.assertEqual(status["pushes"], 0)

    def test_retry_after(self):
        """Who asks for an hour is left alone, whatever the interval."""
        self.agent()
        collector = self.collector()
        collector.status, collector.headers = 429, {"Retry-After": "3600"}
        gateway = self.pushing(collector)
        self.wait_for(lambda: self.status(gateway)["failures"] == 1, "the first push")
        self.wait_for(lambda: self.status(gateway)["dropped"] >= 10, "ten more intervals")
        self.assertEqual(len(collector.taken), 1)
        self.assertEqual(self.status(gateway)["failures"], 1)

    def test_nobody_there(self):
        """A collector that comes later; the gateway serves meanwhile."""
        self.agent()
        collector = Collector()
        collector.stop()
        gateway = self.pushing(collector)
        status = self.wait_for(lambda: (s := self.status(gateway))["failures_row"] >= 2 and s,
                               "failures")
        self.assertRegex(status["last_error"], "(?i)connect")
        collector = Collector(("127.0.0.1", collector.server_address[1]))
        self.addCleanup(collector.stop)
        self.wait_for(lambda: self.status(gateway)["pushes"] > 0, "a push")

    def test_bounded(self):
        """While no answer comes there is one request, and no queue behind it: what is sent next is
        the newest."""
        self.agent()
        self.held("x")
        collector = self.collector()
        collector.open.clear()
        gateway = self.pushing(collector)
        self.wait_for(lambda: collector.at_once == 1, "the first push")
        self.wait_for(lambda: self.status(gateway)["dropped"] >= 15, "fifteen intervals")
        status = self.status(gateway)
        self.assertTrue(status["in_flight"])
        self.assertTrue(status["waiting"])
        self.assertEqual(collector.at_once_max, 1)
        collector.open.set()
        self.wait_for(lambda: len(collector.payloads()) >= 2, "the one that waited")
        first, second = collector.payloads()[:2]
        self.assertGreater(int(point(second, "shmbus.samples", "sum")["timeUnixNano"]) -
                           int(point(first, "shmbus.samples", "sum")["timeUnixNano"]), 10 ** 9)

    def test_no_agent(self):
        """Nothing is pushed before there is something, and nothing old as if it were new."""
        collector = self.collector()
        gateway = self.pushing(collector)
        agent = self.agent()
        self.wait_for(lambda: self.status(gateway)["pushes"] >= 2, "pushes")
        self.stop(agent)
        self.wait_for(lambda: self.get_json(gateway, STATUS)["feed"]["state"] == "stale",
                      "the agent's end to be seen")
        self.wait_for(lambda: not self.status(gateway)["in_flight"], "the push under way")
        times = [point(p, "shmbus.samples", "sum")["timeUnixNano"] for p in collector.payloads()]
        self.assertEqual(len(times), len(set(times)))
