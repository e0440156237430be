# SPDX-License-Identifier: MIT
"""shmbus record: one page, whole, that says what the snapshots said."""

import html.parser
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

from bus import metric
from readers import Readers

VOID = {"meta", "link", "br", "img"}


class Page(html.parser.HTMLParser):
    """A page that is well-formed: every element is closed, in its order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.text, self.loaded, self.wrong = [], [], [], [], []
        self.scripts = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        attributes = dict(attrs)
        self.loaded += [attributes[a] for a in ("src", "href") if a in attributes]
        if tag not in VOID:
            self.open.append((tag, attributes.get("id")))

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop()[0] != tag:
            self.wrong.append((tag, self.getpos()))

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "script":
            self.scripts[self.open[-1][1]] = data
        elif self.open and self.open[-1][0] != "style":
            self.text.append(data)

    def data(self):
        return json.loads(self.scripts["data"])


class Record(Readers):
    def setUp(self):
        super().setUp()
        self.directory = tempfile.TemporaryDirectory()
        self.path = f"{self.directory.name}/page.html"

    def tearDown(self):
        super().tearDown()
        self.directory.cleanup()

    def page(self, path=None):
        with open(path or self.path, encoding="utf-8") as file:
            text = file.read()
        page = Page(text)
        self.assertEqual((page.open, page.wrong), ([], []))
        self.assertTrue(text.startswith("<!DOCTYPE html>"))
        self.assertEqual(page.loaded, [], "nothing comes from elsewhere")
        self.assertNotIn("http", text)
        self.assertIsNone(re.search(r"\b(nan|inf)\b", "".join(page.text)))
        return page, text

    def timers(self, page):
        return {timer["name"]: timer for timer in page.data()["timers"]}

    def recorded(self, *arguments, seconds="1"):
        self.shmbus("record", "-o", self.path, "--seconds", seconds, *arguments)
        return self.page()

    def test_numbers(self):
        """Of all that the session had: counts and means exact, percentiles within a bucket."""
        self.agent()
        self.every()
        page, text = self.recorded()
        timers, session = self.timers(page), self.session("every")
        metrics = {m["name"]: m for m in session["metrics"] if m["kind"] == "timer"}
        self.assertEqual(set(timers), set(metrics))
        for name, found in timers.items():
            wanted = metrics[name]
            self.assertEqual(found["recorded"], {"count": 0}, name)
            self.assertEqual(found["ever"]["count"], wanted["count"], name)
            if wanted["count"] == 0:
                self.assertEqual(found["ever"].keys(), {"count"})
                continue
            self.assertEqual(found["ever"]["max"], wanted["max"], name)
            self.assertAlmostEqual(found["ever"]["mean"], wanted["mean"], 3, name)
            for key, value in wanted["quantiles"].items():
                self.assertAlmostEqual(found["ever"][key], value, delta=value * 0.023, msg=name)
        self.assertIn("500", page.text)
        self.assertIn("None while recorded.", text)
        self.assertLess(len(text), 400000)

    def test_worst(self):
        self.agent()
        self.every()
        page, _ = self.recorded()
        target = metric(self.session("every"), "stage.time")["target"]["worst"]
        start = page.text.index("Worst samples")
        cells = page.text[start:]
        self.assertIn("3.00ms", cells)
        self.assertIn(str(target["correlation_id"]), cells)
        self.assertTrue(any(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC", c)
                            for c in cells))

    def test_course(self):
        """What comes while it records, and nothing from before."""
        self.agent()
        self.held("before")
        self.aggregated("before")
        self.producer("--id", "while", "--count", "1000000", "--rate", "1000", "--values", "100")
        self.wait_for(lambda: self.session("while"), "the session")
        page, text = self.recorded(seconds="2")
        value = self.timers(page)["value"]
        self.assertGreater(value["recorded"]["count"], 0)
        self.assertEqual(value["recorded"]["max"], 100)
        self.assertAlmostEqual(value["recorded"]["p50"], 50, delta=5)
        self.assertEqual(value["ever"]["max"], 1000)
        self.assertEqual(sum(slot[1] for slot in value["slots"]), value["recorded"]["count"])
        for slot in value["slots"]:
            if slot[1]:
                self.assertLessEqual(slot[2], slot[3])
                self.assertLessEqual(slot[3], slot[4])
        for title in ("Distribution", "Percentiles", "Course", "Heat map"):
            self.assertIn(f">{title}</h", text)
        self.assertIn("prefers-color-scheme:dark", text)

    def test_drops(self):
        agent = self.agent()
        self.held("first")
        self.aggregated("first")
        record = self.start("shmbus", "record", "-o", self.path, "--seconds", "600",
                            stderr=subprocess.PIPE)
        self.assertIn("recording for 600 s", record.stderr.readline())
        self.suspend(agent)
        self.report(self.producer("--id", "fast", "--ring", "64", "--count", "1000", "--hold"))
        agent.send_signal(signal.SIGCONT)
        self.wait_for(lambda: (s := self.session("fast")) and s["dropped_total"] == 936,
                      "the session")
        self.assertEqual(self.stop(record, signal.SIGINT), 0)
        page, text = self.page()
        self.assertIn("936 samples were refused", text)
        self.assertEqual(self.timers(page)["value"]["recorded"]["count"], 64)

    def test_sessions(self):
        """Those that are asked for, whatever they are called."""
        self.agent()
        self.held("</script><b>'\"&")
        self.held("plain")
        self.aggregated("plain")
        self.wait_for(lambda: self.session("</script><b>'\"&"), "the other")
        page, text = self.recorded("<*")
        self.assertNotIn("plain", page.text)
        page, text = self.recorded()
        self.assertIn("plain", page.text)
        self.assertIn("</script><b>'\"&", "".join(page.text))
        self.assertNotIn("<b>'", text)
        self.assertEqual(self.timers(page)["value"]["ever"]["count"], 2000)

    def test_nobody(self):
        """No session yet: a page that says so."""
        self.agent()
        page, _ = self.recorded()
        self.assertEqual(page.data()["timers"], [])

    def test_no_agent(self):
        result = self.shmbus("record", "-o", self.path, status=1)
        self.assertIn("start one with", result.stderr)
        self.assertFalse(os.path.exists(self.path))

    def test_older_page(self):
        """It stays where there is no newer one, and goes where there is."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("old" * 1000000)
        self.shmbus("record", "-o", self.path, status=1)
        self.assertEqual(os.path.getsize(self.path), 3000000)
        self.agent()
        self.assertNotIn("oldold", self.recorded()[1])

    def test_outputs(self):
        self.agent()
        output = self.shmbus("record", "-s", "1", "-o", "-").stdout
        self.assertTrue(output.rstrip().endswith("</html>"))
        for path in ("/nowhere/x.html", self.directory.name):
            result = self.shmbus("record", "-o", path, status=1)
            self.assertIn(f"cannot write {path}", result.stderr)
        result = self.shmbus("record", "-s", "1", "-o", "/dev/full", status=1)
        self.assertIn("cannot write /dev/full", result.stderr)


if __name__ == "__main__":
    unittest.main()
