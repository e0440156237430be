#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The gateway's streams, as curl and `websockets` see them, and what others do to them."""

import io
import json
import os
import re
import signal
import socket
import struct
import tempfile
import time
import unittest

from streams import EACH, SECONDS, SSE, WS, Streams

TICK = "200ms"  # of the agent

# A minute of them; with a sanitizer some seconds.
CROWD_SNAPSHOTS = 25 if os.environ["SHMBUS_SANITIZE"] else 300


class Frames(Streams):
    def test_sse(self):
        """Whole frames with values that move, each with its number."""
        self.agent("--interval", TICK)
        gateway = self.gateway()
        self.producer("--id", "x", "--rate", "1000", "--count", "10000000")
        events = self.sse(gateway)
        first = self.event(events, "bus", lambda bus: bus["sessions"] and
                           bus["sessions"][0]["aggregated_total"] > 0)
        self.assertEqual(events.last, first["seq"])
        self.assertEqual((first["bus"], first["state"]), (self.bus, "live"))
        self.assertLessEqual({"agent", "totals", "sessions", "time_unix_ns", "interval_ns"},
                             set(first))
        self.assertIn(first["health"]["status"], ("HEALTHY", "DEGRADED", "FAILED"))
        self.assertNotIn("rejects", first["agent"])
        later = self.event(events, "bus", lambda bus: bus["sessions"][0]["aggregated_total"] >
                           first["sessions"][0]["aggregated_total"])
        value = next(m for m in later["sessions"][0]["metrics"] if m["name"] == "value")
        self.assertEqual(value["kind"], "timer")
        self.assertLess(value["p50"], value["p99"])
        total = next(m for m in later["totals"]["metrics"] if m["name"] == "value")
        self.assertGreaterEqual(total["count"], value["count"])

    def test_ws(self):
        """The same frames; another subscription at any time; pings are answered."""
        self.agent("--interval", TICK)
        gateway = self.gateway()
        self.held("x")
        self.known(gateway, "x")
        client = self.ws(gateway)
        frames = [self.frame(client, "bus") for _ in range(3)]
        self.chained(frames)
        self.say(client, 'text {"session": "x"}')
        session = self.frame(client, "session")
        self.assertEqual(session["session"]["id"], "x")
        self.assertIn("writers", session["session"])
        self.assertTrue(any("histogram" in m for m in session["session"]["metrics"]))
        self.say(client, 'text {"session": "nobody"}')
        self.assertIn("no such session", self.frame(client, "error")["reason"])
        self.say(client, 'text {"interval": 0.01}')
        self.assertIn("0.1 to 60", self.frame(client, "error")["reason"])
        self.say(client, 'text {"session": 7}')
        self.frame(client, "error")
        self.say(client, 'text {"hello": "you"}')
        self.say(client, "ping")
        self.said_by(client, "pong")
        self.say(client, 'text {"session": null, "interval": 0.2}')
        self.frame(client, "bus")

    def test_resume(self):
        """A client that comes back gets what it missed, and nothing twice."""
        self.agent("--interval", TICK)
        gateway = self.gateway()
        events = self.sse(gateway)
        frames = [self.event(events, "bus") for _ in range(3)]
        for header in (True, False):
            events.child.kill()
            events.child.wait()
            last = events.last
            self.wait_for(lambda last=last: self.snapshot()["seq"] >= last + 3, "new snapshots")
            if header:
                events = self.sse(gateway, EACH, "-H", f"Last-Event-ID: {last}")
            else:
                events = self.sse(gateway, f"{EACH}&last={last}")
            frames += [self.event(events, "bus") for _ in range(6)]
        self.chained(frames)

    def test_resume_with_another_gateway(self):
        """It does not have what was before it, and says how much that is."""
        self.agent("--interval", TICK)
        gateway = self.gateway()
        events = self.sse(gateway)
        frames = [self.event(events, "bus")]
        self.assertEqual(self.stop(gateway), 0)
        self.wait_for(lambda: self.snapshot()["seq"] >= events.last + 3, "new snapshots")
        last = events.last
        events = self.sse(self.gateway(), EACH, "-H", f"Last-Event-ID: {last}")
        frames += [self.event(events, "bus") for _ in range(2)]
        self.assertGreater(frames[1]["gap"], 0)
        self.chained(frames)

    def test_final(self):
        """A session's end and its death: a last frame, then the end of the stream."""
        self.agent("--interval", TICK)
        gateway = self.gateway()
        ends, dies = self.held("ends"), self.held("dies")
        self.known(gateway, "ends", "dies")
        listeners = {identity: (self.sse(gateway, f"{EACH}&session={identity}"),
                                self.ws(gateway, f"interval=60&session={identity}"))
                     for identity in ("ends", "dies")}
        for events, client in listeners.values():
            self.event(events, "session", lambda data: "final" not in data)
            self.frame(client, "session", lambda data: "final" not in data)
        ends.stdin.close()
        dies.kill()
        for identity, reason in (("ends", "ended"), ("dies", "lost")):
            events, client = listeners[identity]
            final = self.event(events, "session", lambda data: "final" in data)
            self.assertEqual((final["final"], final["session"]["state"]), (True, reason))
            self.assertEqual(events.next(), ("end", {"type": "end", "reason": reason}))
            self.assertEqual(events.next(), (None, None))
            self.assertEqual(events.child.wait(timeout=20), 0)
            self.frame(client, "session", lambda data: "final" in data)
            self.assertEqual(self.frame(client, "end")["reason"], reason)
            self.assertEqual(self.said_by(client, "code")["code"], 1000)
            # A browser comes back by itself, and is told that this was all.
            status, _, body = self.get(gateway, f"{SSE}?session={identity}",
                                       headers={"Last-Event-ID": str(events.last)})
            self.assertEqual((status, body), (204, b""))

    def test_states(self):
        """Nothing yet, live, stale while the agent is stopped, live again."""
        gateway = self.gateway()
        events, client = self.sse(gateway), self.ws(gateway)
        for take in (lambda *a: self.event(events, *a), lambda *a: self.frame(client, *a)):
            status = take("status")
            self.assertEqual(status["state"], "waiting")
            self.assertIn("no agent has published", status["error"])
        agent = self.agent("--interval", TICK)
        for take in (lambda *a: self.event(events, *a), lambda *a: self.frame(client, *a)):
            take("status", lambda data: data["state"] == "live")
        self.suspend(agent)
        for take in (lambda *a: self.event(events, *a), lambda *a: self.frame(client, *a)):
            stale = take("status", lambda data: data["state"] == "stale")
            # It is said again and again, with its age.
            take("status", lambda data, stale=stale: data["age_ns"] > stale["age_ns"])
        late = self.sse(gateway)
        self.event(late, "bus")
        self.event(late, "status", lambda data: data["state"] == "stale")
        agent.send_signal(signal.SIGCONT)
        for take in (lambda *a: self.event(events, *a), lambda *a: self.frame(client, *a)):
            take("status", lambda data: data["state"] == "live")
            take("bus", lambda data: data["state"] == "live")


class Refusals(Streams):
    def test_queries(self):
        gateway = self.gateway()
        self.assertIn("start shmbus-agent",
                      self.get_json(gateway, f"{SSE}?session=x", status=503)["error"])
        self.agent()
        self.held("aa")
        self.held("ab")
        self.known(gateway, "aa", "ab")
        for query, status in (("interval=0", 400), ("interval=x", 400), ("session=x", 404),
                              ("session=a", 409), ("session=", 404)):
            self.assertTrue(self.get_json(gateway, f"{SSE}?{query}", status=status)["error"])
            refused = self.said_by(self.ws(gateway, query), "status")
            self.assertEqual(refused["status"], status, query)

    def test_handshakes(self):
        """What a request must have to become a WebSocket, and where the page must be from."""
        self.agent()
        gateway = self.gateway()
        good = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        for change, status in (({"Upgrade": "h2c"}, 426), ({"Connection": "close"}, 426),
                               ({"Sec-WebSocket-Version": "8"}, 426),
                               ({"Sec-WebSocket-Key": "short"}, 400),
                               ({"Origin": "http://elsewhere.example"}, 403),
                               ({"Origin": "null"}, 403)):
            found, headers, _ = self.get(gateway, WS, headers={**good, **change})
            self.assertEqual(found, status, change)
            if status == 426:
                self.assertEqual(headers["sec-websocket-version"], "13")
        own = self.ws(gateway, EACH, f"Origin=http://127.0.0.1:{gateway.port}")
        self.frame(own, "bus")

    def test_messages(self):
        """What no client should send ends its stream, with the code that says why."""
        self.agent()
        gateway = self.gateway()
        for line, code in (("text no JSON", 1007), ("text [1]", 1007), ("binary x", 1003),
                           ("text " + "[" * 4000, 1007), ("text " + " " * 5000, 1009),
                           ("text " + " " * 1000000, 1009)):
            client = self.ws(gateway)
            self.frame(client, "bus")
            self.say(client, line)
            self.assertEqual(self.said_by(client, "code")["code"], code, line[:20])
        for sent, code in ((b"\x81\x82\0\0\0\0\xc3\x28", 1007), (b"\x81\x02hi", 1002),
                           (b"\xff\x80\0\0\0\0", 1002), (b"\x83\x80\0\0\0\0", 1002),
                           (b"\x88\x82\0\0\0\0\x03\xe8", 1000)):
            client = self.raw_ws(gateway)
            client.sendall(sent)
            self.assertEqual(self.close_of(client.makefile("rb"))[0], code, sent)
            self.assertEqual(client.recv(1), b"")
        # The first message may come together with the request.
        client = self.raw(gateway, (
            f"GET {WS} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode() + b"\x88\x82\0\0\0\0\x03\xe9")
        answer = b""
        while part := client.recv(65536):
            answer += part
        self.assertTrue(answer.endswith(b"\x88\x02\x03\xe9"), answer[-20:])

    def test_as_many_as_are_allowed(self):
        self.agent()
        gateway = self.gateway("--streams", "2")
        events, client = self.sse(gateway), self.ws(gateway)
        self.event(events, "bus")
        self.frame(client, "bus")
        self.assertIn("--streams", self.get_json(gateway, SSE, status=503)["error"])
        self.assertEqual(self.said_by(self.ws(gateway), "status")["status"], 503)
        client.kill()
        self.wait_for(lambda: self.said_by(self.ws(gateway), "index").get("open"),
                      "the place to be free")


class Life(Streams):
    def test_silence(self):
        """Signs of life where nothing else is to be said; who gives none is dropped."""
        self.agent()
        gateway = self.gateway()
        quiet = self.sse(gateway, "interval=60")
        deaf = self.raw_ws(gateway, "interval=60")
        self.event(quiet, ":", lambda text: text == "heartbeat")
        self.assertEqual(self.close_of(deaf.makefile("rb")), (1008, "pings were not answered"))

    def test_slow(self):
        """Who reads less than there is gets a reason; the others miss nothing."""
        self.agent("--interval", TICK)
        gateway = self.gateway()
        producer = self.held("many", "--every", "--sessions", "100")
        self.wait_for(lambda: len(self.snapshot()["sessions"]) == 100, "the sessions")
        fast = self.sse(gateway)
        slow = {"sse": self.raw(gateway, (f"GET {SSE}?{EACH} HTTP/1.1\r\nHost: localhost\r\n"
                                          "Connection: close\r\n\r\n").encode()),
                "websocket": self.raw_ws(gateway)}
        taken = {name: b"" for name in slow}
        frames = []
        while slow:
            frames.append(self.event(fast, "bus"))
            for name, client in list(slow.items()):
                part = self.take(client, 65536)
                taken[name] += part
                if len(part) < 65536:
                    del slow[name]
        self.chained(frames)
        self.assertIn(b'event: error\ndata: {"type":"error","reason":"this client is too slow',
                      taken["sse"][-200:])
        code, reason = self.close_of(io.BytesIO(taken["websocket"]))
        self.assertEqual(code, 1013)
        self.assertIn("too slow", reason)
        self.assertIsNone(producer.poll())

    def crowd(self, gateway, each):
        """Clients that hang, vanish, send garbage; returns those that stay."""
        request = f"GET {SSE}?{EACH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        stay = [self.raw(gateway, request, buffer=4096) for _ in range(each)]
        stay += [self.raw_ws(gateway) for _ in range(each)]
        for _ in range(each):
            for client in (self.raw(gateway, request), self.raw_ws(gateway)):
                client.recv(10)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
            stay.append(self.raw_ws(gateway))
            stay[-1].sendall(b"\x81\xfe\x0f\xff" + b"garbage" * 1000)
            stay.append(self.raw(gateway, request + b"\x00\xffgarbage\r\n\r\n" * 100))
        return stay

    def test_two_hundred(self):
        """They all get the same, whatever some others do; when all have left, all is quiet."""
        self.agent("--interval", TICK)
        gateway = self.gateway()
        self.held("x", "--every")
        self.known(gateway, "x")
        idle = self.sockets(gateway)
        with tempfile.TemporaryDirectory() as directory:
            base = f"http://127.0.0.1:{gateway.port}{SSE}?{EACH}"
            curl = self.spawn("curl", "-sN", "-Z", "--parallel-immediate", "--parallel-max", "150",
                              "--max-time", str(SECONDS), "-o", f"{directory}/#1",
                              f"{base}&n=[1-150]")
            with open(f"{directory}/ws", "w", encoding="utf-8") as output:
                sockets = self.ws(gateway, count=30, stdout=output)
            crowd = self.crowd(gateway, 10)
            start = self.snapshot()["seq"]
            self.wait_for(lambda: self.snapshot()["seq"] >= start + CROWD_SNAPSHOTS,
                          "all that time", 180)
            curl.kill()
            sockets.kill()
            frames = {f"curl {i}": self.of_curl(f"{directory}/{i}") for i in range(1, 151)}
            frames.update({f"websocket {i}": [] for i in range(30)})
            for said in map(json.loads, self.whole_lines(f"{directory}/ws")):
                if said.get("frame", {}).get("type") == "bus":
                    frames[f"websocket {said['index']}"].append(said["frame"])
        for who, got in frames.items():
            self.assertGreater(len(got), 5, who)
            self.chained(got)
        # What one got all others got, but for their beginning and their end.
        every = sorted({frame["seq"] for got in frames.values() for frame in got})
        for who, got in frames.items():
            mine = [frame["seq"] for frame in got]
            self.assertEqual(mine, [seq for seq in every if mine[0] <= seq <= mine[-1]], who)
        for client in crowd:
            client.close()
        self.wait_for(lambda: self.sockets(gateway) <= idle, "the streams to be gone", 60)
        self.wait_for(lambda: self.ticks_of_a_second(gateway) <= 10, "an idle gateway", 60)

    def ticks_of_a_second(self, gateway):
        before = self.cpu_ticks(gateway)
        time.sleep(1)
        return self.cpu_ticks(gateway) - before

    def whole_lines(self, path):
        """The last one may have been cut off."""
        with open(path, encoding="utf-8") as file:
            return file.read().split("\n")[:-1]

    def of_curl(self, path):
        """The frames of the bus in what curl has written."""
        return [json.loads(line[6:]) for line in self.whole_lines(path)
                if re.match(r'data: {"type":"bus".*}$', line)]

    def test_stop(self):
        """A gateway that is told to stop says so to its streams; who hangs does not keep it."""
        self.agent()
        gateway = self.gateway()
        events, client = self.sse(gateway), self.ws(gateway)
        self.event(events, "bus")
        self.frame(client, "bus")
        self.raw_ws(gateway)
        self.raw(gateway, f"GET {SSE}?{EACH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        gateway.send_signal(signal.SIGTERM)
        self.assertEqual(self.event(events, "end")["reason"], "the gateway is stopping")
        self.assertEqual(events.child.wait(timeout=20), 0)
        self.assertEqual(self.frame(client, "end")["reason"], "the gateway is stopping")
        self.assertEqual(self.said_by(client, "code")["code"], 1001)
        self.assertEqual(gateway.wait(timeout=30), 0)


if __name__ == "__main__":
    unittest.main()
