"""Fetch from the slot into the inbox: in steps of about a second, in commit order, once.

A transaction becomes visible in the inbox whole. The slot is advanced behind the inbox, never ahead of it, so that a
crash at any place is mended by reading again: what is there already is known by its place in the log, and passed over.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from adapters.legacy.wal.decoding import Decoder, Transaction, Truncated
from adapters.legacy.wal.guarding import SlotBroken, broken
from adapters.legacy.wal.messages import (
    Begin,
    Commit,
    Delete,
    Insert,
    Message,
    Relation,
    Truncate,
    Update,
    parse,
)
from adapters.legacy.wal.slot import Slot, SlotBusy, State, Stream
from adapters.legacy.wal.standing import (
    POSITION,
    Last,
    Open,
    Position,
    Standing,
    Watched,
    encoded,
    lsn,
    position_of,
    registry_of,
    standing_of,
)
from toolkit.core.changes import Change
from toolkit.core.errors import Fenced
from toolkit.inbox import Inbox

READ = 2000
"""Messages that are asked of the server at once."""
PEEK = 50_000
"""Messages for which the server decodes before it gives any; one huge transaction is more."""
PART = 5000
"""Changes that are put into the inbox at once."""
STEP_SECONDS = 1.0
IDLE_SECONDS = 60.0
"""So often a slot is advanced over log that does not concern us."""
IDLE_BYTES = 64 * 1024 * 1024
"""Or when so much of it has come."""
BUSY_SECONDS = 60.0
"""So long another session may have the slot before that is an error."""
_PAUSE = 0.05
_TOLD = 20
"""So many TRUNCATEs are told; the first one was enough for promises to end."""
_FENCES = 8


class Fetcher:
    """Reads one slot. Only the leader's process may: others are told so by the inbox (Fenced), and store nothing."""

    def __init__(
        self,
        source: str,
        slot: Slot,
        inbox: Inbox,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._slot, self._inbox, self._monotonic = source, slot, inbox, monotonic
        self._reading: _Reading | None = None
        self._standing: Standing | None = None
        self._fences: dict[int, int | None] = {}
        self._advanced, self._busy = -float("inf"), 0.0
        self.reached = 0
        """Everything that was committed up to this place was fetched."""
        self.position = Position(lsn=0)

    @property
    def fetches(self) -> bool:
        """Has this process fetched?"""
        return self.reached > 0

    def whole(self) -> int | None:
        """The highest number that may be offered; None: all."""
        return self.position.open.number if self.position.open else None

    def step(self) -> bool:
        """Fetch for about a second; is there more? Raises SlotBroken, Fenced.

        While another session has the slot, which looks how much waits, nothing comes; one that keeps it is told.
        """
        try:
            more = self._fetch()
        except SlotBusy:
            now = self._monotonic()
            self._busy = self._busy or now
            if now - self._busy > BUSY_SECONDS:
                raise
            time.sleep(_PAUSE)
            return False
        self._busy = 0.0
        return more

    def _fetch(self) -> bool:
        deadline = self._monotonic() + STEP_SECONDS
        try:
            reading = self._reading or self._open()
            if reading is None:
                return False
            self._reading = reading
            while reading.read():
                if self._monotonic() > deadline:
                    reading.store()
                    return True
            reading.store()
            self._ended(reading)
        except BaseException:
            self.drop()
            raise
        return not reading.stream.exhausted

    def drop(self) -> None:
        """Forget what was read and not stored; it is read again."""
        if self._reading is not None:
            self._reading.stream.close()
            self._reading = None

    # --- how far

    def fence(self, place: int) -> None:
        """Remember which number is the last one that was committed before this place."""
        self._fences[place] = None
        for old in list(self._fences)[:-_FENCES]:
            del self._fences[old]

    def before(self, place: int) -> int:
        """The number of the last change that had been committed by this place, which was reached."""
        number = self._fences.get(place)
        return self._inbox.last() if number is None else number

    def passed(self, end: int, number: int) -> None:
        """A transaction that ends here comes behind this number."""
        for place, known in self._fences.items():
            if known is None and place < end:
                self._fences[place] = number

    # --- parts

    def _open(self) -> _Reading | None:
        standing = standing_of(self._inbox)
        if standing != self._standing:
            self._standing, self.reached = standing, 0
        if standing is None:
            return None
        text = self._inbox.position(POSITION)
        self.position = position_of(text)
        state = self._slot.state()
        if what := broken(standing, self.position, state):
            raise SlotBroken(self._source, self._slot.name, what)
        if state.flushed == self.reached:
            return None
        return _Reading(self, self._source, self._slot, self._inbox, standing, state, text)

    def _ended(self, reading: _Reading) -> None:
        """All that the slot held is in the inbox: let the server forget it, and now and then what it held besides."""
        exhausted = reading.stream.exhausted
        self.drop()
        if exhausted:
            reading.verify()
        self.position = reading.position
        reached = reading.state.flushed if exhausted else reading.position.lsn
        self.reached = max(self.reached, reached, reading.position.lsn)
        confirmed = reading.state.confirmed or 0
        idle = self._monotonic() - self._advanced > IDLE_SECONDS or reached - confirmed > IDLE_BYTES
        if idle and reached > reading.position.lsn:
            reading.move(msgspec.structs.replace(reading.position, lsn=reached))
            self.position = reading.position
        if reading.met or idle:
            with suppress(SlotBusy):  # what it holds too long is known, and passed over
                self._slot.advance(self.position.lsn if exhausted else reading.met)
            self._advanced = self._monotonic()


class _Reading:
    """One stream, from where the slot stood to where it ended, and what of it is not in the inbox yet."""

    def __init__(
        self,
        fetcher: Fetcher,
        source: str,
        slot: Slot,
        inbox: Inbox,
        standing: Standing,
        state: State,
        text: str | None,
    ) -> None:
        self._fetcher, self._source, self._inbox = fetcher, source, inbox
        self.state, self._slot = state, slot
        self._text = text
        self.position = position_of(text)
        self._known = self.position.last
        watched = _by_oid(state)
        self._decoder = Decoder(
            source, standing.stamp, watched, again=lambda: _by_oid(slot.state()), types=slot.types
        )
        self._changes: list[Change] = []
        self._ends: list[tuple[int, int]] = []
        self._whole = self.position
        self._transaction: Transaction | None = None
        self._again: Last | None = None
        self._truncated: tuple[str, ...] = ()
        self._last_number = inbox.last()
        self._begun = self._verified = False
        self.met = 0
        """Where the last transaction that was met ends, known already or new."""
        self.stream: Stream = slot.peek(PEEK)

    def read(self) -> bool:
        """Take some messages; False at the end."""
        with self._slot.asked_for():
            messages = self.stream.read(READ)
        if messages and not self._begun:
            self._begun = True
            self._same()
        for data in messages:
            self._take(parse(data))
        if len(self._changes) >= PART:
            self.store()
        return bool(messages)

    def _same(self) -> None:
        """The slot was looked at before it was read: nobody may have touched it in between."""
        now = self._slot.state()
        if (now.confirmed, now.system) != (self.state.confirmed, self.state.system):
            raise Fenced(
                f"legacy source {self._source}: the slot {self._slot.name} stands elsewhere than a moment ago: "
                "another process moved it, or its server was restarted"
            )

    def store(self) -> None:
        """Put what is whole into the inbox; of what is not, only a large part, which is not offered yet."""
        end = self._ends[-1][1] if self._ends else 0
        if self._whole != self.position:
            self._put(self._changes[:end], self._whole)
            del self._changes[:end]
            self._ends.clear()
        if len(self._changes) >= PART and self._transaction is not None:
            before = self.position.open.number if self.position.open else self._last_number
            part = Open(lsn=self._transaction.begin.lsn, messages=self._transaction.messages, number=before)
            truncated = (*self.position.truncated, *self._truncated)[-_TOLD:]
            self._put(self._changes, msgspec.structs.replace(self.position, open=part, truncated=truncated))
            self._truncated = ()
            self._whole = self.position
            self._changes.clear()

    def verify(self) -> None:
        """The last transaction that was read comes again, unless the slot stands behind it; and no other one after it."""
        if self._verified:
            return
        self._verified = True
        known = self._known if self._known and self._known.lsn >= (self.state.confirmed or 0) else None
        if self._again != known:
            at, met = lsn(self.position.lsn), self._again
            found = f"there is one at {lsn(met.lsn)} that never was" if met else "it is not there any more"
            what = (
                f"up to {at} all was read, and of the last transaction before that place {found}: "
                "the server's history is another one (was it restored from a backup?)"
            )
            raise self._stopped(what)

    def move(self, position: Position) -> None:
        """Move on without a change."""
        self._put([], position)

    # --- messages

    def _take(self, message: Message) -> None:
        if isinstance(message, Insert | Update | Delete | Truncate):
            self._row(message)
        elif isinstance(message, Begin):
            self._transaction = Transaction.of(message, self.state.xmax)
            if message.lsn >= self.position.lsn:
                self.verify()
        elif isinstance(message, Commit):
            self._commit(message)
        elif isinstance(message, Relation):
            self._decoder.describe(message)

    def _row(self, message: Insert | Update | Delete | Truncate) -> None:
        transaction = self._transaction
        assert transaction is not None
        transaction.messages += 1
        if transaction.begin.lsn < self.position.lsn:
            return
        opened = self.position.open
        if opened and opened.lsn == transaction.begin.lsn and transaction.messages <= opened.messages:
            return
        try:
            self._changes += self._decoder.changes(message, transaction)
        except Truncated as found:  # whole with its transaction; from then on nothing is promised
            self._truncated = (*self._truncated, found.what)

    def _commit(self, message: Commit) -> None:
        transaction = self._transaction
        assert transaction is not None
        self._transaction, self.met = None, message.end
        last = Last(lsn=message.lsn, xid=int(transaction.name), at=message.at)
        truncated, self._truncated = self._truncated, ()
        if message.lsn < self.position.lsn:
            self._again = last
            return
        self._whole = Position(
            lsn=message.end, last=last, truncated=(*self._whole.truncated, *truncated)[-_TOLD:]
        )
        self._ends.append((message.end, len(self._changes)))

    def _put(self, changes: list[Change], position: Position) -> None:
        text = encoded(position)
        numbered = self._inbox.put(changes, moved={POSITION: (self._text, text)})
        first = self._last_number
        self._last_number += len(numbered)
        self._text, self.position = text, position
        at = 0
        opened = self._fetcher.position.open
        for end, upto in self._ends if position.open is None else ():
            self._fetcher.passed(end, opened.number if opened and at == 0 else first + at)
            at = upto
        self._fetcher.position = position

    def _stopped(self, what: str) -> SlotBroken:
        """Note why reading ended, so that a plan knows it, too."""
        self._put([], msgspec.structs.replace(self.position, stopped=what))
        return SlotBroken(self._source, self._slot.name, what)


def _by_oid(state: State) -> dict[int, Watched]:
    return {one.oid: one for one in registry_of(state.registry).values()}
