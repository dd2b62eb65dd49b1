"""Read Thrift's compact encoding, in which Parquet describes its files."""

from __future__ import annotations

import struct
from typing import Any


class Thrift:
    """Reads Thrift's compact encoding; returns structs as dicts by field number."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def byte(self) -> int:
        self.position += 1
        return self.data[self.position - 1]

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def signed(self) -> int:
        value = self.unsigned()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        length = self.unsigned()
        self.position += length
        return self.data[self.position - length : self.position]

    def double(self) -> Any:
        self.position += 8
        return struct.unpack("<d", self.data[self.position - 8 : self.position])[0]

    def sequence(self) -> list[Any]:
        head = self.byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self.unsigned()
        return [self.byte() == 1 if kind in (1, 2) else self.value(kind) for _ in range(count)]

    def fields(self) -> dict[int, Any]:
        found: dict[int, Any] = {}
        number = 0
        while True:
            head = self.byte()
            if head == 0:
                return found
            number = number + (head >> 4) if head >> 4 else self.signed()
            found[number] = self.value(head & 15)

    def value(self, kind: int) -> Any:
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self.byte()
        if kind in (4, 5, 6):
            return self.signed()
        return {7: self.double, 8: self.binary, 9: self.sequence, 10: self.sequence, 12: self.fields}[kind]()
