# SPDX-License-Identifier: MIT
"""/metrics as a real Prometheus takes it, and what is shipped for it: rules, dashboard."""

import json
import os
import re
import signal
import subprocess
import unittest

from bus import metric
from prometheus import Prometheus, free_port

SOURCE = os.environ["SHMBUS_SOURCE"]
SHIPPED = f"{SOURCE}/readers/gateway"

BUCKET = 2 ** (1 / 32)
# Bounds of times stand for values that are so much larger: see expose_proto.c.
SHIFT = 2 ** (957 / 32) / 1e9


def quantile(values, wanted, weights=None):
    """The sample of that rank, as Prometheus has quantiles; each counts by its weight."""
    weighted = sorted(zip(values, weights or [1] * len(values)))
    rank, passed = wanted * sum(weight for _, weight in weighted), 0
    for value, weight in weighted:
        passed += weight
        if passed >= rank:
            return value
    return weighted[-1][0]


class Scraped(Prometheus):
    def assert_within_a_bucket(self, found, exact, shift=1.0):
        self.assertIsNotNone(found)
        self.assertLessEqual(found * shift / exact, BUCKET, (found, exact))
        self.assertGreaterEqual(found * shift / exact, 1 / BUCKET, (found, exact))

    def counted(self, name, count):
        """Waits until Prometheus has seen so many samples, over all buses."""
        self.wait_for(lambda: self.value(f"sum(histogram_count({name}))") == count,
                      f"{count} samples of {name}", 120)

    def test_native_histograms_of_two_buses(self):
        """Merged, their quantiles are the exact ones of all samples, within a bucket."""
        parts = ((20000, 1000), (30000, 3000))
        gateways = []
        for number, _ in enumerate(parts):
            self.on_bus(number)
            self.agent()
            self.producer("--id", "first", "--count", "0", "--hold")
            self.wait_for(lambda: self.session("first"), "the first session")
            gateways.append(self.gateway())
        self.prometheus([f"127.0.0.1:{g.port}" for g in gateways])
        self.wait_for(lambda: self.value("count(histogram_count(shmbus_value))") == 2,
                      "a scrape of each", 120)
        self.counted("shmbus_value", 0)
        for number, (count, values) in enumerate(parts):
            self.on_bus(number)
            self.report(self.producer("--id", "second", "--count", str(count), "--values",
                                      str(values), "--ring", "65536", "--every", "--hold"))
        self.counted("shmbus_value", 50000)
        self.counted("shmbus_stage_time_seconds", 200)

        samples = [[i % values + 1 for i in range(count)] for count, values in parts]
        both = sum(samples, [])
        self.assertEqual(self.value("sum(histogram_sum(shmbus_value))"), sum(both))
        for wanted in (0.01, 0.5, 0.9, 0.99, 0.999):
            self.assert_within_a_bucket(
                self.value(f"histogram_quantile({wanted}, sum(shmbus_value))"),
                quantile(both, wanted))
        self.rates(gateways, samples)

        times = 2 * [i * 30e-6 for i in range(1, 101)]
        self.assertAlmostEqual(self.value("sum(histogram_sum(shmbus_stage_time_seconds))"),
                               sum(times), delta=1e-12)
        for wanted in (0.1, 0.5, 0.9, 0.99):
            found = self.value(f"histogram_quantile({wanted}, sum(shmbus_stage_time_seconds))")
            self.assert_within_a_bucket(found, quantile(times, wanted), SHIFT)
        found = self.value('histogram_quantile(0.99, shmbus_stage_time_seconds'
                           f'{{instance="127.0.0.1:{gateways[0].port}",stage="decode"}})')
        self.assert_within_a_bucket(found, quantile(times, 0.99), SHIFT)

    def rates(self, gateways, samples):
        """A rate is extrapolated for each series, which makes one's samples weigh more."""
        now = self.api("query", query="time()")["result"][0]
        weights = []
        for gateway, part in zip(gateways, samples):
            of_one = self.value("histogram_count(rate(shmbus_value"
                                f'{{instance="127.0.0.1:{gateway.port}"}}[5m]))', time=now)
            self.assertGreater(of_one, 0)
            weights += [of_one / len(part)] * len(part)
        for wanted in (0.01, 0.5, 0.9, 0.99, 0.999):
            self.assert_within_a_bucket(
                self.value(f"histogram_quantile({wanted}, sum(rate(shmbus_value[5m])))", time=now),
                quantile(sum(samples, []), wanted, weights))

    def test_text(self):
        """Without native histograms Prometheus takes OpenMetrics, classic buckets and exemplars."""
        self.agent()
        self.every()
        gateway = self.gateway()
        self.prometheus([f"127.0.0.1:{gateway.port}"], native=False, path="/metrics?sessions=1")
        self.wait_for(lambda: self.value("shmbus_stage_time_seconds_count"), "a scrape", 120)
        times = [i * 30e-6 for i in range(1, 101)]
        for bound in (2 ** k / 1e9 for k in range(10, 37, 2)):
            found = [float(r["value"][1]) for r in self.query("shmbus_stage_time_seconds_bucket")
                     if float(r["metric"]["le"]) == bound]
            self.assertEqual(found, [sum(t <= bound for t in times)], bound)
        self.assertEqual(self.value('shmbus_stage_time_seconds_bucket{le="+Inf"}'), 100)
        labels = self.query("shmbus_session_info")[0]["metric"]
        self.assertEqual([labels[key] for key in ("session", "service", "label_attempt_id")],
                         ["every", "producer", "first"])
        self.assertEqual(self.value('shmbus_state{shmbus_state="busy",session="every"}'), 1)
        exemplars = self.api("query_exemplars", query="shmbus_stage_time_seconds_bucket",
                             start="0", end="9999999999")
        found = exemplars[0]["exemplars"][0]
        self.assertEqual(found["labels"], {"correlation_id": "100"})
        self.assertAlmostEqual(float(found["value"]), 0.003)

    def test_counters_never_go_back(self):
        """Sessions end and die, agent and gateway are killed and start again."""
        place = f"127.0.0.1:{free_port()}"
        agent = self.agent()
        gateway = self.gateway(listen=(place,))
        self.prometheus([place])
        counters = ["shmbus_done_total", "shmbus_samples_total", "shmbus_sessions_opened_total"]

        def reached(count, sessions):
            self.wait_for(lambda: self.value("shmbus_done_total") == count and
                          self.value("shmbus_samples_total") == count and
                          self.value("shmbus_sessions_opened_total") == sessions,
                          f"{count} samples of {sessions} sessions", 120)

        self.report(self.producer("--id", "a", "--count", "1000"))
        reached(1000, 1)
        held = self.held("b")
        reached(2000, 2)
        held.kill()
        self.wait_for(lambda: self.value("shmbus_sessions_lost_total") == 1, "the loss", 120)

        agent.kill()
        agent.wait()
        self.wait_for(lambda: self.value("shmbus_up") == 0, "shmbus_up to be 0", 120)
        # Series of the bus are gone at once, not five minutes later.
        self.wait_for(lambda: not self.query("shmbus_done_total"), "the series to be stale")
        self.assertEqual(self.query('{__name__=~"shmbus_agent.*|shmbus_session.*|shmbus_value.*"}'),
                         [])
        self.agent()
        reached(2000, 2)
        self.assertEqual(self.value("shmbus_sessions_lost_total"), 1)
        self.held("c")
        reached(3000, 3)

        gateway.kill()
        gateway.wait()
        self.wait_for(lambda: self.value("up") == 0, "the gateway to be missed", 120)
        self.gateway(listen=(place,))
        reached(3000, 3)
        self.held("d")
        reached(4000, 4)
        for name in counters + ["shmbus_sessions_lost_total", "shmbus_sessions_ended_total"]:
            values = [float(value) for _, value in self.query(f"{name}[1h]")[0]["values"]]
            self.assertEqual(values, sorted(values), name)
            self.assertEqual(self.value(f"resets({name}[1h])"), 0)
        self.assertEqual(self.value("resets(shmbus_value[1h])"), 0)
        self.assertEqual(self.value("histogram_count(shmbus_value)"), 4000)

    def test_dashboard(self):
        """Each query of the dashboard is taken, and has data where there are any."""
        with open(f"{SHIPPED}/grafana/shmbus.json", encoding="utf-8") as file:
            dashboard = json.load(file)
        self.agent()
        self.every()
        gateway = self.gateway()
        place = f"127.0.0.1:{gateway.port}"
        self.prometheus([place])
        variables = {"metric": "stage_time_seconds", "instance": ".*", "__rate_interval": "1m"}
        # Rates take two scrapes with samples between them.
        self.producer("--id", "more", "--rate", "200", "--count", "1000000")
        self.wait_for(lambda: (self.value("sum(rate(shmbus_samples_total[1m]))") or 0) > 0,
                      "a rate", 120)
        self.producer("--id", "other", "--every", "--hold")
        self.wait_for(lambda: (self.value(
            "histogram_count(sum(rate(shmbus_stage_time_seconds[1m])))") or 0) > 0,
            "a rate of the timer", 120)

        def substitute(text):
            return re.sub(r"\$\{?(\w+)\}?", lambda m: variables[m.group(1)], text)

        asked = 0
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                expression = substitute(target["expr"])
                result = self.query(expression)
                self.assertNotEqual(result, [], f'{panel["title"]}: {expression}')
                for sample in result:
                    self.assertNotEqual(sample["value"][1], "NaN",
                                        f'{panel["title"]}: {expression}')
                asked += 1
        self.assertGreater(asked, 20)
        for variable in dashboard["templating"]["list"][1:]:
            selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)",
                                           variable["query"]["query"]).groups()
            values = {s["metric"][label] for s in self.query(substitute(selector))}
            self.assertIn(place if label == "instance" else "stage_time_seconds", values)
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))


class Shipped(Prometheus):
    def promtool(self, *arguments, **options):
        result = subprocess.run(["promtool", *arguments], capture_output=True, timeout=60,
                                check=False, **options)
        self.assertEqual(result.returncode, 0, result)
        self.assertEqual(result.stderr, b"")
        return result.stdout

    def test_rules(self):
        """The rules, and the tests of them; rules for names that there are."""
        directory = f"{SHIPPED}/prometheus"
        self.promtool("check", "rules", f"{directory}/shmbus.rules.yml")
        self.assertIn(b"SUCCESS", self.promtool("test", "rules",
                                                f"{directory}/shmbus.rules.test.yml"))
        self.agent()
        self.every()
        gateway = self.gateway()
        text = self.wait_for(lambda: (b := self.get(gateway, "/metrics")[2].decode()) and
                             "shmbus_stage_time" in b and b, "the session")
        with open(f"{directory}/shmbus.rules.yml", encoding="utf-8") as file:
            rules = file.read()
        with open(f"{directory}/shmbus.rules.test.yml", encoding="utf-8") as file:
            tests = file.read()
        names = set(re.findall(r"\bshmbus_\w+", rules))
        self.assertGreater(len(names), 12)
        for name in names:
            self.assertRegex(text, rf"(?m)^{name}[ {{]")
        for alert in re.findall(r"- alert: (\w+)", rules):
            self.assertRegex(tests, rf"alertname: {alert}\n +exp_alerts:", alert)

    def test_lint(self):
        """promtool finds nothing to say of names, types and help."""
        self.agent()
        gateway = self.gateway()
        for expected in ("shmbus_up", "shmbus_stage_time_seconds_bucket"):
            for path in ("/metrics?format=text", "/metrics?format=text&sessions=1"):
                body = self.wait_for(lambda p=path: (b := self.get(gateway, p)[2]) and
                                     expected.encode() in b and b, expected)
                self.assertEqual(self.promtool("check", "metrics", input=body), b"")
            if expected == "shmbus_up":
                self.every()

    def test_answers(self):
        """Formats by Accept and by ?format=, one rendering for one snapshot, errors that help."""
        agent = self.agent()
        self.every()
        gateway = self.gateway()
        types = {
            "text": "text/plain; version=0.0.4; charset=utf-8",
            "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "protobuf": "application/vnd.google.protobuf; "
                        "proto=io.prometheus.client.MetricFamily; encoding=delimited",
            "json": "application/json",
        }
        for name, content_type in types.items():
            status, headers, asked = self.get(gateway, f"/metrics?format={name}")
            self.assertEqual((status, headers["content-type"]), (200, content_type))
            status, headers, _ = self.get(gateway, "/metrics", headers={"Accept": content_type})
            self.assertEqual((status, headers["content-type"]), (200, content_type))
            self.assertIn("Accept", headers["vary"])
            self.assertGreater(len(asked), 1000)
        document = self.wait_for(lambda: (d := self.get_json(
            gateway, "/metrics?format=json")) and d.get("sessions") and d, "the session")
        self.assertEqual([document[key] for key in ("service", "bus", "state")],
                         ["shmbus-gateway", self.bus, "live"])
        snapshot = self.snapshot()
        ours = metric(snapshot["sessions"][0], "stage.time")
        del ours["histogram"]
        theirs = metric(document["sessions"][0], "stage.time")
        self.assertEqual(list(theirs), list(ours))
        self.assertEqual(theirs["quantiles"], ours["quantiles"])
        self.assertIn("quantiles", metric(document["totals"], "stage.time"))
        self.assertNotIn("sessions", self.get_json(gateway, "/metrics?format=json&sessions=0"))
        self.assertIn("openmetrics", self.get_json(gateway, "/metrics?format=xml", 400)["error"])
        self.assertIn("sessions", self.get_json(gateway, "/metrics?sessions=2", 400)["error"])

        # A stopped agent's last snapshot is one rendering, which a client has or has not.
        self.stop(agent)
        self.wait_for(lambda: b'shmbus_up{bus="%s"} 0' % self.bus.encode() in
                      self.get(gateway, "/metrics")[2], "shmbus_up to be 0")
        _, headers, body = self.get(gateway, "/metrics")
        self.assertNotIn(b"shmbus_value", body)
        self.assertEqual(self.get(gateway, "/metrics", headers={
            "If-None-Match": headers["etag"]})[0], 304)
        self.assertEqual(self.get_json(gateway, "/metrics?format=json")["state"], "stale")

    def test_cap(self):
        """More sessions than fit: those that are shown are whole, the others are counted."""
        self.agent()
        gateway = self.gateway("--series", "300")
        producer = self.producer("--sessions", "40", "--count", "10", "--hold")
        producer.stdout.readline()

        def whole():
            body = self.get(gateway, "/metrics?sessions=1")[2].decode()
            shown, counted = (len(re.findall(rf"(?m)^{name}\{{", body))
                              for name in ("shmbus_session_info", "shmbus_done_total"))
            return 'shmbus_sessions{state="running"} 40\n' in body and shown == counted and body

        body = self.wait_for(whole, "the sessions, each with all that it has")
        shown = re.findall(r"(?m)^shmbus_session_info\{", body)
        self.assertGreater(len(shown), 1)
        self.assertIn(f"\nshmbus_overflow_sessions {40 - len(shown)}\n", body)
        left_out = int(re.search(r"\nshmbus_overflow_series (\d+)\n", body).group(1))
        self.assertGreater(left_out, 1000)
        self.assertIn("\nshmbus_overflow_series 0\n",
                      self.get(gateway, "/metrics?sessions=0")[2].decode())
        self.assertLess(len(body.splitlines()), 700)
        producer.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
