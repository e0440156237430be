# SPDX-License-Identifier: MIT
"""What the tests of the gateway share."""

import http.client
import json
import re
import subprocess
import urllib.parse

from readers import Readers


class Gateway(Readers):
    def gateway(self, *arguments, listen=("127.0.0.1:0",), **options):
        """A gateway, with where it listens in .url, .port and .addresses."""
        listens = [word for place in listen for word in ("--listen", place)]
        gateway = self.start("shmbus-gateway", *listens, *arguments, stderr=subprocess.PIPE,
                             **options)
        gateway.addresses = []
        for _ in listen:
            line = gateway.stderr.readline()
            self.assertRegex(line, r'^shmbus-gateway: bus "[^"]*" on ', line)
            gateway.addresses.append(line.rstrip("\n").split(" on ", 1)[1])
        gateway.url = next((a for a in gateway.addresses if a.startswith("http:")), None)
        gateway.port = urllib.parse.urlsplit(gateway.url).port if gateway.url else None
        return gateway

    def get(self, gateway, path, method="GET", body=None, headers=None, connection=None):
        """(status, headers in lower case, body) of one request."""
        own = connection or http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        own.request(method, path, body, headers or {})
        response = own.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        body = response.read()
        if connection is None:
            own.close()
        return response.status, found, body

    def get_json(self, gateway, path, status=200, **options):
        found, headers, body = self.get(gateway, path, **options)
        self.assertEqual(found, status, body)
        self.assertEqual(re.split("; *", headers["content-type"])[0], "application/json")
        return json.loads(body)
