"""A file that grows by whole entries: one is in it as a whole or not at all, and one process writes at a time."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.core.errors import Infrastructure

_HEAD = struct.Struct(">II")
"""How many bytes an entry has, and their checksum."""


class Journal:
    """Entries of bytes in their order. Every process that opens the file sees those of all others."""

    def __init__(self, path: Path) -> None:
        self._where = str(path)
        self._turn = threading.RLock()
        self._read_to = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)
        except OSError as error:
            raise Infrastructure(f"{path} cannot be opened: {error}") from error

    @contextmanager
    def held(self, *, writing: bool = False) -> Iterator[Iterator[bytes]]:
        """Nobody else writes meanwhile (nor reads, if we write). Gives the entries that were not read yet."""
        with self._turn:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX if writing else fcntl.LOCK_SH)
                try:
                    yield self._unread(writing)
                finally:
                    fcntl.flock(self._file, fcntl.LOCK_UN)
            except (OSError, ValueError) as error:  # ValueError: it is closed
                raise Infrastructure(f"{self._where} cannot be used: {error}") from error

    def append(self, entry: bytes) -> None:
        """Add an entry, for good once this returns. To be called while it is held for writing, after what is unread."""
        framed = _HEAD.pack(len(entry), zlib.crc32(entry)) + entry
        if os.write(self._file.fileno(), framed) != len(framed):
            raise OSError("the disk is full")
        os.fsync(self._file.fileno())
        self._read_to += len(framed)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def _unread(self, writing: bool) -> Iterator[bytes]:
        number = self._file.fileno()
        while (entry := self._entry(number)) is not None:
            self._read_to += _HEAD.size + len(entry)
            yield entry
        if writing and os.fstat(number).st_size > self._read_to:
            os.ftruncate(number, self._read_to)  # who wrote it died before its end: it never was committed

    def _entry(self, number: int) -> bytes | None:
        head = os.pread(number, _HEAD.size, self._read_to)
        if len(head) < _HEAD.size:
            return None
        size, checksum = _HEAD.unpack(head)
        entry = os.pread(number, size, self._read_to + _HEAD.size)
        return entry if len(entry) == size and zlib.crc32(entry) == checksum else None
