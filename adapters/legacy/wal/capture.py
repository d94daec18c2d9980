"""Capture from the write-ahead log, as the loops use it: what is fetched waits in the inbox, rows are read beside it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import msgspec
from sqlalchemy import Connection, Engine, text

from adapters.engines import reading, writing
from adapters.legacy.guard import CAPTURE_TIMEOUT
from adapters.legacy.images import Captured, Chosen
from adapters.legacy.namesakes import WATCHED, with_others, without_unlooked
from adapters.legacy.postgresql.capture import PostgresCapture, clock
from adapters.legacy.postgresql.source import postgres_engine
from adapters.legacy.subjects import SubjectOrder
from adapters.legacy.wal import planning
from adapters.legacy.wal.fetching import Fetcher
from adapters.legacy.wal.guarding import broken
from adapters.legacy.wal.holes import holes
from adapters.legacy.wal.placing import Placing
from adapters.legacy.wal.slot import Slot, SlotBusy, State, alone, create_slot, drop_slot
from adapters.legacy.wal.standing import (
    INSTALLATION,
    POSITION,
    Position,
    Standing,
    Watched,
    encoded,
    position_of,
    registry_of,
    standing_of,
)
from adapters.legacy.wanted import every
from toolkit.core.changes import Change
from toolkit.core.errors import Fault, Infrastructure, StranglerError, UsageError
from toolkit.inbox import Fetching, Inbox
from toolkit.ports import CapturedTable, Chunk, Cursor, Hole, Horizon, Plan
from toolkit.settings import WalSection, size

_COUNTED = 10_000
"""Messages that a process which does not fetch counts, to tell how much waits."""

GUARANTEES = {
    "loss": "none: the server keeps its log until what it says is in the inbox; a slot that was lost, advanced by others or "
    "made anew, a failover and a restore are noticed, and nothing is read on",
    "order": "commit order, for all subjects",
    "deletes": "captured; the log does not say which rows a TRUNCATE deleted: it is a hole, all else goes on, and nothing is "
    "promised until capture is installed again",
    "intermediate states": "all captured, one change for each row that a statement touches; with `columns` or "
    "`ignore`, an update that changes no captured column gives none (under whole former rows)",
    "transactions": "known: all changes of one transaction to one subject are offered together, two-phase ones, too",
    "stalls": "nothing stalls capture: a transaction that stays open delays only its own changes, but the server keeps its log "
    "from where the oldest one began, and reads it again for each step; a relay that does not run lets the log grow "
    "(max_retained; let max_slot_wal_keep_size be the server's own limit)",
    "schema changes": "an added, dropped or renamed column shows in the next change, and is told as a hole until capture is "
    "installed again; a renamed subject column is a hole; generated columns are not in the log, nor in any image",
    "former rows": "whole, under REPLICA IDENTITY FULL, which writes each former row of an update or a deletion to the log; with "
    'identity = "default" only their key is known (`before`), and large values that an update does not touch are missing '
    "in the image, so that a translator that asks for one parks the change",
    "outbox": "inserts only; rows that backfill finds come in the order in which they are stored",
    "cost": "no statement of the application does more, but wal_level = logical and whole former rows make its log larger",
    "rights": "who reads needs REPLICATION, and SELECT on the captured tables; who installs must own them, and needs CREATE on the "
    "database",
    "removal": "leaves nothing: slot and publications are dropped, each replica identity is what it was",
}


def open_capture(fetching: Fetching) -> WalCapture:
    """The factory in the entry points `strangler.capture`."""
    if not fetching.url.startswith("postgres"):
        raise UsageError(f'legacy source {fetching.source}: capture = "wal" is for PostgreSQL')
    # One session reads a stream while others look at the slot and at types.
    engine = postgres_engine(fetching.url, CAPTURE_TIMEOUT, ["client_encoding=UTF8"], pool_size=4)
    return WalCapture(fetching.source, engine, fetching.inbox, fetching.section.wal)


class WalCapture(PostgresCapture):
    """Implements `toolkit.ports.Capture`. Rows are read as beside triggers; changes come from the slot by the inbox."""

    def __init__(self, name: str, engine: Engine, inbox: Inbox, section: WalSection) -> None:
        super().__init__(name, engine)
        self._inbox, self._section = inbox, section
        slot = section.slot or _slot_name(name)
        self._slot = Slot(name, engine, slot, section.publication or slot)
        self._fetcher = Fetcher(name, self._slot, inbox)
        self._placing = Placing(inbox)
        self._beside: tuple[str | None, dict[tuple[str, ...], str | None]] = (None, {})

    # --- what is installed

    def plan(self, tables: Sequence[CapturedTable]) -> Plan:
        """What is missing to read these tables' changes from the log, and what takes it away again."""
        with self._judged(), reading(self._engine) as connection:
            planning.refuse(planning.rights(connection, self._name, self._slot))
            state = self._slot.state_in(connection)
            was = registry_of(state.registry) if state.published else {}
            asked = every(tables, lambda one: self._watch(connection, one, was))
            planning.refuse([fault for _, faults in asked for fault in faults])
            watched = [one for one, _ in asked]
            becomes = {**was, **{one.table: one for one in watched}}
            statements = planning.install(self._slot, state, was, becomes)
            left = {name: one for name, one in was.items() if name not in {one.table for one in watched}}
            removal = planning.remove(
                self._slot, [planning.existing(connection, one) for one in watched], left
            )
        if self._readable(state) is None:
            statements += [drop_slot(self._slot.name)] if state.there else []
            statements.append(create_slot(self._slot.name))
        elif not statements and not {one.table for one in watched} <= set(self.installed()):
            # A crash between the installation and its note: done again, it is noted.
            statements = [planning.note(self._slot, becomes)]
        return Plan(statements=tuple(statements), removal=tuple(removal), guarantees=GUARANTEES)

    def _watch(
        self, connection: Connection, wanted: CapturedTable, was: dict[str, Watched]
    ) -> tuple[Watched, list[Fault]]:
        watched, faults = planning.watch(
            connection, self._name, wanted, full=self._section.identity == "full"
        )
        return planning.merged(watched, was.get(watched.table)), faults

    def _readable(self, state: State) -> Standing | None:
        """The installation, if its slot can be read on."""
        standing = standing_of(self._inbox)
        position = position_of(self._inbox.position(POSITION))
        if standing is None or position.truncated or broken(standing, position, state):
            return None
        return standing

    def install(self, plan: Plan) -> None:
        """Execute the plan: publications and identities in one transaction, then the slot, which cannot be in it."""
        slot = list(alone(plan.statements))
        self._execute([one for one in plan.statements if one not in slot])
        try:
            for one in slot:
                self._alone(one)
        except BaseException:
            if any(one.startswith("CREATE PUBLICATION") for one in plan.statements):
                self.remove(plan)
            raise
        if slot:
            self._inbox.forget()
        self._note()

    def remove(self, plan: Plan) -> None:
        """Execute the plan's removal. Changes that are not marked yet are gone with the last table."""
        self._fetcher.drop()
        slot = list(alone(plan.removal))
        self._execute([one for one in plan.removal if one not in slot])
        for one in slot:
            self._alone(one)
        if slot:
            self._inbox.forget()
        self._note()

    def _alone(self, statement: str) -> None:
        with self._slot.judged(), writing(self._engine) as connection:
            connection.execute(text(statement))

    def _note(self) -> None:
        """Remember what is installed now, and since when."""
        state = self._slot.state()
        if not state.published or not state.there:
            return
        was = self._inbox.position(INSTALLATION)
        standing, now = standing_of(self._inbox), self._now()
        watched = registry_of(state.registry)
        since = {name: standing.since_when(one) if standing else None for name, one in watched.items()}
        becomes = Standing(
            slot=self._slot.name,
            system=state.system,
            timeline=state.timeline,
            since=standing.since if standing else now,
            tables={name: since[name] or now for name in watched},
            read={name: one.reading for name, one in watched.items()},
        )
        moved: dict[str, tuple[str | None, str]] = {INSTALLATION: (was, encoded(becomes))}
        if standing is None:
            moved[POSITION] = (None, encoded(Position(lsn=state.confirmed or 0)))
        self._inbox.put([], moved=moved)

    def _now(self) -> dt.datetime:
        with self._judged(), reading(self._engine) as connection:
            return clock(connection)

    def _registry(self, connection: Connection) -> dict[str, Captured]:
        standing = standing_of(self._inbox)
        if standing is None:
            return {}
        found = registry_of(self._slot.state_in(connection).registry)
        return {name: one.captured(standing) for name, one in found.items() if name in standing.tables}

    def holes(self) -> list[Hole]:
        """What is not as it was installed: the slot, the publications, the tables, and log that grows."""
        with self._judged(), reading(self._engine) as connection:
            standing = standing_of(self._inbox)
            position = position_of(self._inbox.position(POSITION))
            limit = size(self._section.max_retained)
            found = list(holes(connection, self._name, self._slot, standing, position, limit))
            registry = self._registry(connection)
        return [*found, *self._namesakes(registry.values(), WATCHED)]

    # --- what was captured

    def pending(self, limit: int, cursors: Sequence[Cursor]) -> list[Change]:
        """Changes in commit order. Fetches when the inbox has fewer to offer, for about a second at most.

        None come although there are some only while a transaction is fetched that takes longer; `behind` tells.
        """
        try:
            changes = self._fetched(limit, cursors)
            return self._looked(partial(self._compared, changes)) if changes else changes
        except Infrastructure:
            if not (changes := self._unaided(limit, cursors)):
                raise  # the reason comes when nothing is left that needs no server
            return changes

    def _unaided(self, limit: int, cursors: Sequence[Cursor]) -> list[Change]:
        """What the inbox has that is not to be compared with rows, beside the installation that was there the last time.

        No other one can have come while the server is away: it would stand in the inbox.
        """
        noted, since = self._beside
        if self._inbox.position(INSTALLATION) != noted or any(one.tables not in since for one in cursors):
            return []
        with suppress(
            Infrastructure
        ):  # where the subjects of a backfill that is under way stand, the server knows
            offered = self._offer(limit, [one.beside(since[one.tables]) for one in cursors])
            return without_unlooked(
                offered, lambda table: table not in self._searches or self._searches[table] is not None
            )
        return []

    def _compared(self, changes: list[Change], blocked: Collection[str]) -> list[Change]:
        """With the rows that are there. Where what was done since has to be known, the log is read to its end for it."""
        changes = without_unlooked(changes, blocked.__contains__)
        offered, reasons = {change.number for change in changes}, list[StranglerError]()

        def later(table: str, subjects: Collection[str], _: Collection[str]) -> list[Change] | None:
            try:
                if not self._reach(self._slot.state_in(connection).inserted):
                    return None
            except StranglerError as error:
                reasons.append(error)
                return None
            waiting = self._inbox.of(subjects)
            return [one for one in waiting if one.table == table and one.number not in offered]

        with self._judged(), reading(self._engine) as connection:
            searches = self._searches_of(connection, self._registry(connection))
            found = with_others(connection, searches, changes, later)
        if reasons and not found:
            raise reasons[0]
        return found

    def _fetched(self, limit: int, cursors: Sequence[Cursor]) -> list[Change]:
        noted = self._inbox.position(INSTALLATION)
        self._beside = (noted, {one.tables: self.installation(one.tables) for one in cursors})
        cursors = [one.beside(self._beside[1][one.tables]) for one in cursors]
        offered = self._offer(limit, cursors)
        if len(offered) >= limit:
            return offered
        try:
            self._fetcher.step()
        except StranglerError:
            offered = self._offer(limit, cursors)
            if not offered:
                raise
            return offered  # what is ours already flows; the reason comes when nothing is left
        return self._offer(limit, cursors)

    def _offer(self, limit: int, cursors: Sequence[Cursor]) -> list[Change]:
        open_ = [one for one in cursors if not one.done]
        up_to = self._fetcher.whole()
        if not open_:
            return self._inbox.pending(limit, up_to=up_to)
        leave = self._placing.left(open_, self._subjects)
        return self._inbox.pending(limit, leave, up_to=up_to)

    def _subjects(self, cursor: Cursor, subjects: Iterable[str]) -> set[str]:
        """Which of the subjects are established?"""
        if cursor.after is None:
            return set()
        with self._judged(), reading(self._engine) as connection:
            order = self._order_of(connection, cursor.tables)
            return _among(connection, subjects, order.established(":low"), order.given({"low": cursor.after}))

    def mark(self, numbers: Iterable[int]) -> None:
        """Never offer these changes again. Idempotent."""
        self._inbox.mark(numbers)

    def horizon(self) -> Horizon:
        """The clock, then the end of the log: what was committed by the instant stands before it."""
        with self._judged(), reading(self._engine) as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            instant = clock(connection)
            place = self._slot.state_in(connection).inserted
        self._fetcher.fence(place)
        return Horizon(instant=instant, token=str(place))

    def behind(self, horizon: Horizon) -> int:
        """How many changes that the horizon covers wait? More than none as long as it was not reached.

        Only the process that fetches goes on fetching here; another one counts, and disturbs nothing.
        """
        place = int(horizon.token)
        if not self._fetcher.fetches:
            return self._inbox.waiting() + self._unfetched(place)
        if not self._reach(place) or self._fetcher.position.truncated:
            return self._inbox.waiting() + 1
        return self._inbox.waiting(up_to=self._fetcher.before(place))

    def _unfetched(self, place: int) -> int:
        """As another process sees it. Whether anything is left is not known while somebody reads: at least one may be."""
        position = position_of(self._inbox.position(POSITION))
        if position.lsn >= place or self._slot.state().active:
            return int(position.lsn < place or bool(position.truncated))
        try:
            return self._slot.unfetched(position.lsn, place, _COUNTED) + bool(position.truncated)
        except SlotBusy:
            return 1

    def _reach(self, place: int) -> bool:
        """Fetch up to a place, for about a second. The server may have to be asked to write its log out."""
        if self._fetcher.reached < place and not self._fetcher.step() and self._fetcher.reached < place:
            self._slot.flush()
            self._fetcher.step()
        return self._fetcher.reached >= place

    # --- what was there before capture

    def chunk(self, tables: Sequence[CapturedTable], cursor: Cursor, size: int) -> Chunk:
        """Read the rows of the next subjects, and the numbers of the changes that their snapshot saw."""
        while not self._reach(self._slot.state().inserted):
            pass  # what is fetched before the snapshot is not fetched while it is held
        return super().chunk(tables, cursor, size)

    def _image(self, connection: Connection, table: Captured) -> tuple[str, str]:
        # Only what the log shows: generated columns are computed by who reads the row.
        generated = self._generated(table)
        if generated and table.chosen.columns:
            some = tuple(name for name in table.chosen.columns if name not in generated)
            table = msgspec.structs.replace(table, chosen=Chosen(columns=some))
        elif generated:
            table = msgspec.structs.replace(table, chosen=Chosen(ignore=(*table.chosen.ignore, *generated)))
        return super()._image(connection, table)

    def _generated(self, table: Captured) -> list[str]:
        with self._judged(), reading(self._engine) as connection:
            return [
                name
                for one in planning.members_of(connection, table.relation)
                if one.root
                for name in one.generated
            ]

    def _absorbed(
        self,
        connection: Connection,
        order: SubjectOrder,
        tables: Sequence[str],
        low: str | None,
        high: str | None,
    ) -> list[int]:
        """The changes of these subjects that the snapshot saw: all of these stand before the end of the log as it is now."""
        snapshot = str(connection.scalar(text("SELECT pg_current_snapshot()::text")))
        end = self._slot.state_in(connection).inserted
        while not self._reach(end):
            pass
        where = order.changes(low=low is not None, high=high is not None)
        known = self._placing.known(tables)
        near = _among(connection, known, where, order.given({"low": low, "high": high}))
        waiting = [one for one in self._inbox.of(near) if one.table in tables]
        seen = self._slot.visible(connection, snapshot, {one.transaction or "" for one in waiting})
        return [one.number for one in waiting if one.transaction in seen]

    def close(self) -> None:
        """Give back the connections."""
        super().close()
        self._fetcher.drop()
        self._engine.dispose()


def _among(
    connection: Connection, subjects: Iterable[str], where: str, bounds: Mapping[str, object]
) -> set[str]:
    """Which of the subjects meet the condition of an order: asked where they are compared as the rows are."""
    sql = f"SELECT c.subject FROM unnest(CAST(:subjects AS text[])) AS c(subject) WHERE {where}"
    return set(connection.scalars(text(sql), {"subjects": list(subjects), **bounds}))


def _slot_name(source: str) -> str:
    """A slot's name has lower case letters, digits and underscores only."""
    return (
        "strangler_" + "".join(one if one.isalnum() and one.isascii() else "_" for one in source.lower())
    )[:50]
