# SPDX-License-Identifier: MIT
"""Clients of the gateway's streams that are not of this project: curl and `websockets`."""

import json
import os
import socket
import struct
import subprocess
import sys

from gateway import Gateway

SSE = "/api/v1/stream"
WS = "/api/v1/ws"
EACH = "interval=0.1"  # each snapshot of an agent that has no more than 10 a second
SECONDS = 100          # after which a client gives up, and its test


def python_with_websockets():
    """Debian's package is for Debian's interpreter, which need not be the first in the path."""
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import websockets"], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0:
            return python
    raise RuntimeError("no Python has the package websockets (Debian: python3-websockets)")


class Events:
    """What curl has received, event by event."""

    def __init__(self, child):
        self.child = child
        self.last = None  # id

    def next(self):
        """(event, data); a comment is (":", text), the end (None, None)."""
        event, data = None, None
        for line in iter(self.child.stdout.readline, ""):
            line = line.rstrip("\n")
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                self.last = int(value)
            elif name == "data":
                data = json.loads(value)
            elif line.startswith(":"):
                return ":", value
            elif line == "" and data is not None:
                return event, data
        return None, None


class Streams(Gateway):
    def sse(self, gateway, query=EACH, *arguments):
        child = self.spawn("curl", "-sSN", "--max-time", str(SECONDS), *arguments,
                           f"http://127.0.0.1:{gateway.port}{SSE}?{query}")
        return Events(child)

    def ws(self, gateway, query=EACH, *headers, count=1, **options):
        return self.spawn(python_with_websockets(),
                          f"{os.path.dirname(os.path.abspath(__file__))}/ws_client.py",
                          f"ws://127.0.0.1:{gateway.port}{WS}?{query}", str(count), str(SECONDS),
                          *headers, **options)

    def spawn(self, *arguments, stdout=subprocess.PIPE):
        child = subprocess.Popen(arguments, env=self.env, text=True, stdin=subprocess.PIPE,
                                 stdout=stdout)
        self.children.append(child)
        return child

    def known(self, gateway, *identities):
        """Waits until the gateway has them in its snapshot."""
        self.wait_for(lambda: self.get(gateway, "/api/v1/snapshot")[0] == 200 and
                      set(identities) <= {s["id"] for s in self.get_json(
                          gateway, "/api/v1/snapshot")["sessions"]}, f"{identities}")

    def said_by(self, child, key):
        """The next line of a ws_client that has a key, of its first connection."""
        for line in iter(child.stdout.readline, ""):
            said = json.loads(line)
            if said["index"] == 0 and key in said:
                return said
        return self.fail(f"the client ended without saying '{key}'")

    def say(self, child, line):
        child.stdin.write(line + "\n")
        child.stdin.flush()

    def event(self, events, wanted, fits=lambda data: True):
        """The data of the next such event."""
        while True:
            event, data = events.next()
            self.assertIsNotNone(event, f"the stream ended before an event '{wanted}'")
            if event == wanted and fits(data):
                return data

    def frame(self, child, wanted, fits=lambda data: True):
        """Likewise, of a ws_client."""
        while True:
            frame = self.said_by(child, "frame")["frame"]
            if frame["type"] == wanted and fits(frame):
                return frame

    def chained(self, frames):
        """Nothing is missing but for what is said to be, and nothing is there twice."""
        for before, after in zip(frames, frames[1:]):
            self.assertEqual(after["seq"], before["seq"] + 1 + after["gap"])

    def raw(self, gateway, request, buffer=None):
        """A socket of which a test does as it likes, with a request sent."""
        client = socket.socket()
        self.addCleanup(client.close)
        if buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(SECONDS)
        client.connect(("127.0.0.1", gateway.port))
        client.sendall(request)
        return client

    def take(self, client, size):
        """So many bytes; fewer at the end of the connection."""
        taken = b""
        while len(taken) < size and (part := client.recv(size - len(taken))):
            taken += part
        return taken

    def raw_ws(self, gateway, query=EACH):
        """Likewise, as a WebSocket with its handshake done."""
        client = self.raw(gateway, (
            f"GET {WS}?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += client.recv(1)
        self.assertIn(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", answer)
        return client

    def close_of(self, stream):
        """(code, reason) of the close frame that ends what a WebSocket's client receives."""
        while True:
            head = stream.read(2)
            self.assertEqual(len(head), 2, "the connection ended without a close frame")
            size = head[1] & 0x7f
            if size >= 126:
                size = int.from_bytes(stream.read(2 if size == 126 else 8), "big")
            body = stream.read(size)
            if head[0] == 0x88:
                return struct.unpack(">H", body[:2])[0], body[2:].decode()

    def sockets(self, gateway):
        """How many the gateway has open."""
        base = f"/proc/{gateway.pid}/fd"
        count = 0
        for name in os.listdir(base):
            try:
                count += os.readlink(f"{base}/{name}").startswith("socket:")
            except FileNotFoundError:
                pass
        return count

    def cpu_ticks(self, gateway):
        with open(f"/proc/{gateway.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
