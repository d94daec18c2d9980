"""A toolkit.ports.ReadStore without SQL: rows are JSON documents, found by their key.

All documents are in memory, and what changes them is appended to a file, an entry for each transaction. It is an example of
what the port asks for: it passes the suite of the SQL stores, and is not meant for large views (the file only grows).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from examples.read_store.journal import Journal
from examples.read_store.tables import Entry, Tables, layout_of
from toolkit.core.errors import Fenced, Refused, UsageError
from toolkit.core.projections import Definition, row_json
from toolkit.ports import Batch, Checkpoint, Digest, Page, ParkedEvent, SkippedEvent, VersionState

Row = dict[str, object]


def open_documents(url: str) -> Documents:
    """What the entry point `strangler.read_store` names: `documents:///path/of/the.file`."""
    return Documents(Path(url.partition("://")[2]))


class Documents:
    """A read store in one file."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self._tables = Tables()

    def close(self) -> None:
        """Give the file back."""
        self._journal.close()

    # --- versions

    def create(
        self, definition: Definition, topics: Mapping[str, int], now: dt.datetime, *, indexed: bool = True
    ) -> VersionState:
        """Enter what is missing of a version; the first one serves. There are no indexes here to wait for."""
        name, version = definition.name, definition.version
        with self._held(writing=True) as tables:
            table = tables.known.get((name, version))
            if table is not None:
                table.built_as(definition)
            state = VersionState(
                projection=name,
                version=version,
                serving=not any(one.state.serving for one in tables.of(name)),
                # Not 0: whoever owned a version of this name that was dropped must not be taken for the owner of this one.
                epoch=int(now.timestamp() * 1_000_000),
                state="building",
                updated_at=now,
            )
            there = table.checkpoints if table is not None else {}
            missing = [
                Checkpoint(topic=topic, partition=partition)
                for topic, partitions in topics.items()
                for partition in range(partitions)
                if (topic, partition) not in there
            ]
            state = table.state if table is not None else state
            self._write(Entry(of=(name, version), state=state, layout=layout_of(definition), moved=missing))
            return state

    def drop(self, projection: str, version: int) -> None:
        """Forget a version with its rows. Its ledger of skipped events stays."""
        with self._held(writing=True) as tables:
            if tables.version(projection, version).state.serving:
                raise Refused(f"{projection} v{version} serves reads: switch to another version first")
            self._write(Entry(of=(projection, version), dropped=True))

    def versions(self, projection: str | None = None) -> list[VersionState]:
        """All versions, or those of one projection."""
        with self._held() as tables:
            return [one.state for one in tables.of(projection)]

    def switch(self, projection: str, version: int) -> None:
        """The mark of who serves is one entry, for both versions at once."""
        with self._held(writing=True) as tables:
            tables.version(projection, version)
            self._write(Entry(of=(projection, version), serves=True))

    # --- what a projector does

    def seize(self, projection: str, version: int) -> int:
        """Raise the epoch: whoever had it before is refused at its next commit."""
        with self._held(writing=True) as tables:
            state = tables.version(projection, version).state
            self._say(replace(state, epoch=state.epoch + 1))
            return state.epoch + 1

    def load(self, definition: Definition, keys: Sequence[object]) -> dict[object, Row]:
        """The rows that there are for these keys."""
        with self._held() as tables:
            table = tables.version(definition.name, definition.version).built_as(definition)
            found = {key: table.row(definition, key) for key in keys}
            return {key: row for key, row in found.items() if row is not None}

    def load_under(
        self, definition: Definition, parents: Sequence[object], *, most: int | None = None
    ) -> dict[object, Row]:
        """The rows that there are of these parents, so many of each at most. A store of size would keep an index of them."""
        found: dict[object, dict[object, Row]] = {parent: {} for parent in parents}
        with self._held() as tables:
            table = tables.version(definition.name, definition.version).built_as(definition)
            for row in table.rows(definition):
                key = definition.key_in(row)
                some = found.get(definition.parent_in(key))
                if some is not None and (most is None or len(some) < most):
                    some[key] = row
        return {key: row for some in found.values() for key, row in some.items()}

    def commit(self, definition: Definition, batch: Batch, *, epoch: int, now: dt.datetime) -> None:
        """Rows, checkpoints and parked events are one entry. Raises Fenced."""
        with self._held(writing=True) as tables:
            table = tables.version(definition.name, definition.version)
            state = self._fenced(table.state, epoch)
            if any((one.topic, one.partition) not in table.checkpoints for one in batch.checkpoints):
                raise UsageError(
                    f"{definition.identity} has no checkpoint for a partition it is given: create it first"
                )
            self._write(
                Entry(
                    of=(definition.name, definition.version),
                    state=replace(state, updated_at=now, projected_at=now),
                    rows=[(table.named(definition.key_in(row)), row_json(row)) for row in _written(batch)],
                    deleted=[table.named(key) for key in batch.deletes],
                    moved=batch.checkpoints,
                    parked=batch.parked,
                    unparked=batch.unparked,
                    skipped=batch.skipped,
                )
            )

    def checkpoints(self, projection: str, version: int) -> list[Checkpoint]:
        """How far a version has come; nothing of one that is not there."""
        with self._held() as tables:
            table = tables.known.get((projection, version))
            return table.positions() if table is not None else []

    def parked(self, projection: str, version: int) -> list[ParkedEvent]:
        """A version's parked events by (topic, partition, sequence)."""
        with self._held() as tables:
            table = tables.known.get((projection, version))
            return table.waiting() if table is not None else []

    def skipped(self, projection: str, version: int) -> list[SkippedEvent]:
        """The ledger of a version by (topic, partition, sequence)."""
        with self._held() as tables:
            return tables.ledger(projection, version)

    def set_state(
        self, projection: str, version: int, state: str, detail: str, *, epoch: int, now: dt.datetime
    ) -> None:
        """Say how a version is doing; the first time that it is running, it was built. Raises Fenced."""
        with self._held(writing=True) as tables:
            known = self._fenced(tables.version(projection, version).state, epoch)
            built = known.built_at or (now if state == "running" else None)
            self._say(replace(known, state=state, detail=detail, updated_at=now, built_at=built))

    # --- what is there

    def rows(self, definition: Definition, after: object | None, limit: int) -> list[Row]:
        """Rows of a version in key order. A store of size would not sort them anew for each page."""
        with self._held() as tables:
            table = tables.version(definition.name, definition.version).built_as(definition)
            rows = table.rows(definition)
        return _page(rows, definition, after, limit)

    def digest(self, definition: Definition) -> Digest:
        """Digest of a version's rows, with its positions and parked events of the same instant."""
        with self._held() as tables:
            table = tables.version(definition.name, definition.version).built_as(definition)
            rows = table.rows(definition)
            digest = hashlib.sha256(b"".join(row_json(row) + b"\n" for row in rows))
            return Digest(
                digest=digest.hexdigest(),
                rows=len(rows),
                checkpoints=table.positions(),
                parked=[one.record.envelope.id for one in table.waiting()],
                skipped=sorted(one.event_id for one in tables.ledger(definition.name, definition.version)),
            )

    def page(self, definition: Definition, after: object | None, limit: int) -> Page:
        """Rows of a version in key order, with its positions and parked events of the same instant."""
        with self._held() as tables:
            table = tables.version(definition.name, definition.version).built_as(definition)
            return Page(
                rows=_page(table.rows(definition), definition, after, limit),
                checkpoints=table.positions(),
                parked=[one.record.envelope.id for one in table.waiting()],
                skipped=sorted(one.event_id for one in tables.ledger(definition.name, definition.version)),
            )

    # --- transactions

    @contextmanager
    def _held(self, *, writing: bool = False) -> Iterator[Tables]:
        with self._journal.held(writing=writing) as unread:
            for entry in unread:
                self._tables.apply(entry)
            yield self._tables

    def _write(self, entry: Entry) -> None:
        encoded = entry.encoded()
        self._journal.append(encoded)
        self._tables.apply(encoded)

    def _say(self, said: VersionState) -> None:
        self._write(Entry(of=(said.projection, said.version), state=said))

    def _fenced(self, state: VersionState, epoch: int) -> VersionState:
        if state.epoch != epoch:
            raise Fenced(
                f"{state.projection} v{state.version}: another process has taken over this projection since epoch {epoch}; "
                "nothing was written"
            )
        return state


def _page(rows: list[Row], definition: Definition, after: object | None, limit: int) -> list[Row]:
    return [row for row in rows if after is None or definition.key_in(row) > after][:limit]  # type: ignore[operator]


def _written(batch: Batch) -> list[Row]:
    return [*batch.upserts, *batch.inserts]
