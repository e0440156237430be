# SPDX-License-Identifier: MIT
"""A real Prometheus that scrapes gateways."""

import json
import math
import os
import socket
import subprocess
import tempfile
import urllib.parse
import urllib.request

from gateway import Gateway


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Prometheus(Gateway):
    def setUp(self):
        super().setUp()
        self.buses = [self.bus]
        # Children end before the directory goes: cleanups come after tearDown().
        directory = tempfile.TemporaryDirectory(prefix="shmbus-prometheus.")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def tearDown(self):
        super().tearDown()
        for self.bus in self.buses:
            for path in self.files():
                os.unlink(path)

    def on_bus(self, number):
        """What is started from now on is on bus 0, 1, ..."""
        while len(self.buses) <= number:
            self.buses.append(f"{self.buses[0][:29]}-{len(self.buses)}")
        self.bus = self.buses[number]
        self.env["SHMBUS_BUS"] = self.bus

    def prometheus(self, targets, native=True, path="/metrics"):
        """Scrapes host:port addresses twice a second, into a directory of its own."""
        config = f"{self.directory}/prometheus.yml"
        path, _, query = path.partition("?")
        with open(config, "w", encoding="ascii") as file:
            json.dump({
                "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
                "scrape_configs": [{
                    "job_name": "shmbus", "metrics_path": path, "honor_labels": True,
                    "params": urllib.parse.parse_qs(query),
                    "static_configs": [{"targets": targets}]}],
            }, file)
        self.port = free_port()
        features = ["exemplar-storage"] + ["native-histograms"] * native
        child = self.start(
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.directory}/data",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
            f"--enable-feature={','.join(features)}", directory="/usr/bin",
            stderr=subprocess.DEVNULL)
        self.wait_for(lambda: self.answers("/-/ready"), "Prometheus", 120)
        return child

    def answers(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as file:
                return file.read()
        except OSError:
            return None

    def api(self, path, **arguments):
        body = self.answers(f"/api/v1/{path}?{urllib.parse.urlencode(arguments)}")
        self.assertIsNotNone(body, f"{path} {arguments}")
        return json.loads(body)["data"]

    def query(self, expression, **when):
        """The samples, or series, of an expression."""
        return self.api("query", query=expression, **when)["result"]

    def value(self, expression, **when):
        """The one value; None: there is none."""
        result = self.query(expression, **when)
        self.assertLessEqual(len(result), 1, result)
        if not result or math.isnan(float(result[0]["value"][1])):
            return None
        return float(result[0]["value"][1])
