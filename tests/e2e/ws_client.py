#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A client by the `websockets` package: a line of JSON on standard output for each message, and one
with the code and the reason of the end. Lines on standard input are sent, as "text LINE", "binary
LINE" or "ping". Arguments: the URL, how many connections at once, how many seconds at most, headers
as NAME=VALUE. Of several connections only the first sends."""

import asyncio
import json
import sys

import websockets


def say(**what):
    print(json.dumps(what), flush=True)


async def listen(socket, index):
    try:
        while True:
            say(index=index, frame=json.loads(await socket.recv()))
    except websockets.ConnectionClosed as closed:
        end = closed.rcvd
        say(index=index, code=end.code if end else None, reason=end.reason if end else None)


async def obey(socket):
    reader = asyncio.StreamReader(limit=1 << 22)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode():
        verb, _, text = line.rstrip("\n").partition(" ")
        if verb == "ping":
            await (await socket.ping())
            say(index=0, pong=True)
        else:
            await socket.send(text if verb == "text" else text.encode())


async def connection(url, index, headers):
    try:
        async with websockets.connect(url, max_size=None, ping_interval=None,
                                      extra_headers=headers) as socket:
            say(index=index, open=True)
            sending = asyncio.create_task(obey(socket)) if index == 0 else None
            await listen(socket, index)
            if sending:
                sending.cancel()
    except websockets.InvalidStatusCode as refused:
        say(index=index, status=refused.status_code)


async def main(url, count, seconds, *headers):
    pairs = [tuple(header.split("=", 1)) for header in headers]
    await asyncio.wait_for(
        asyncio.gather(*(connection(url, i, pairs) for i in range(int(count)))), float(seconds))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
