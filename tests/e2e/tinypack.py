# SPDX-License-Identifier: MIT
"""Decodes msgpack: what a snapshot is made of, and an error for anything else."""

import struct

FIXED = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q",
         0xd0: ">b", 0xd1: ">h", 0xd2: ">i", 0xd3: ">q"}
CONSTANTS = {0xc0: None, 0xc2: False, 0xc3: True}
SIZED = {0xd9: (">B", "text"), 0xda: (">H", "text"), 0xdb: (">I", "text"),
         0xdc: (">H", "array"), 0xdd: (">I", "array"), 0xde: (">H", "map"), 0xdf: (">I", "map")}


class Decoder:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if self.at + size > len(self.data):
            raise ValueError("cut short")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def container(self, shape, length):
        if shape == "text":
            return self.take(length).decode()
        if shape == "array":
            return [self.value() for _ in range(length)]
        pairs = [(self.value(), self.value()) for _ in range(length)]
        if len(dict(pairs)) != length:
            raise ValueError("a key stands twice in one map")
        return dict(pairs)

    def value(self):
        byte = self.number(">B")
        if byte < 0x80:
            return byte
        if byte < 0xc0:
            shape = "map" if byte < 0x90 else "array" if byte < 0xa0 else "text"
            return self.container(shape, byte & (31 if shape == "text" else 15))
        if byte >= 0xe0:
            return byte - 0x100
        if byte in CONSTANTS:
            return CONSTANTS[byte]
        if byte in FIXED:
            return self.number(FIXED[byte])
        if byte in SIZED:
            form, shape = SIZED[byte]
            return self.container(shape, self.number(form))
        raise ValueError(f"byte {byte:#x} begins nothing that a snapshot has")


def decode(data):
    decoder = Decoder(data)
    value = decoder.value()
    if decoder.at != len(data):
        raise ValueError("more than one value")
    return value
