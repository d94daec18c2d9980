"""The race: writers that commit out of order, and two pollers beside them. One loses rows, the other must not.

What is written, and what was lost, is decided here; how an engine writes and reads is a `Track` of `adapters`.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing

import msgspec

from toolkit.core.ailments import Figure
from toolkit.diagnosis import Mark, Poller, Track, Writer

SUBJECTS = 50
_LONGEST_HOLD = 0.02
_STRAGGLER_HOLD = 0.2


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction: how many rows of which subject, how long it stays open, and how it ends."""

    subject: str
    rows: int
    hold: float
    commits: bool


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How one poller came out. `out_of_order` counts rows that came after a later row of their subject."""

    poller: str
    committed: int
    seen: int
    lost: int
    out_of_order: int
    twice: int
    subjects: tuple[str, ...] = ()
    """those that lost rows or order"""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A race: what was written, how each poller came out, and what it means."""

    writers: int
    seconds: float
    committed: int
    rolled_back: int
    naive: Standing
    ours: Standing
    settings: dict[str, Figure]
    meaning: str


def attempts(seed: int) -> Iterator[Attempt]:
    """What one writer does, without end: short transactions, a few stragglers, a tenth of them rolled back."""
    chance = random.Random(seed)
    while True:
        straggles = chance.random() < 0.05
        yield Attempt(
            subject=f"race-{chance.randrange(SUBJECTS)}",
            rows=chance.randint(1, 3),
            hold=chance.uniform(0, _STRAGGLER_HOLD if straggles else _LONGEST_HOLD),
            commits=chance.random() >= 0.1,
        )


def judge(poller: str, committed: Mapping[str, Sequence[int]], seen: Sequence[Mark]) -> Standing:
    """Compare what a poller saw with what was committed, subject by subject in commit order."""
    counts = Counter(seen)
    highest: dict[str, int] = {}
    disordered: Counter[str] = Counter()
    for subject, number in dict.fromkeys(seen):
        if number < highest.get(subject, number):
            disordered[subject] += 1
        highest[subject] = max(number, highest.get(subject, number))
    lost = Counter(
        subject for subject, numbers in committed.items() for one in numbers if (subject, one) not in counts
    )
    return Standing(
        poller=poller,
        committed=sum(map(len, committed.values())),
        seen=len(counts),
        lost=sum(lost.values()),
        out_of_order=sum(disordered.values()),
        twice=sum(count - 1 for count in counts.values()),
        subjects=tuple(sorted({*lost, *disordered})),
    )


def meaning(naive: Standing, ours: Standing, settings: Mapping[str, Figure]) -> str:
    """What the figures say, in a sentence or two."""
    if ours.lost or ours.out_of_order:
        return (
            f"The toolkit's own way lost {ours.lost} rows and disordered {ours.out_of_order}: this must not be. Do not "
            "relay this table, and report the settings above."
        )
    if naive.lost or naive.out_of_order:
        share = 100 * naive.lost / max(1, naive.committed)
        return (
            f"A poller that remembers the last number loses {share:.1f} % here: numbers are drawn when rows are written, and "
            "become visible when transactions end. Reading what is not yet marked loses none."
        )
    if settings.get("one_writer") == "yes":
        return "Nothing is lost either way: this engine has one writer at a time, so that numbers are drawn in commit order."
    return (
        "Nothing was lost this time, which proves nothing for the naive poller: its loss depends on timing. "
        "Run it longer, with more writers."
    )


def race(
    track: Track,
    *,
    writers: int,
    seconds: float,
    seed: int = 0,
    stop: threading.Event | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Run writers and both pollers on an open track, and judge; `stop` ends it early. The caller closes the track."""
    course = _Course(track, pause, stop or threading.Event())
    seen: list[list[Mark]] = [[], []]
    threads = [
        threading.Thread(target=course.follow, args=(poller, into), daemon=True)
        for poller, into in zip((track.naive(), track.ours()), seen, strict=True)
    ]
    drivers = [
        threading.Thread(target=course.drive, args=(seed + number,), daemon=True) for number in range(writers)
    ]
    for one in (*threads, *drivers):
        one.start()
    try:
        course.wait(seconds)
    finally:
        course.stop.set()
        for one in drivers:
            one.join()
        course.written.set()
        for one in threads:
            one.join()
    if course.failures:
        raise course.failures[0]
    naive, ours = (
        judge(name, course.committed, marks)
        for name, marks in zip(("id > last", "not yet marked"), seen, strict=True)
    )
    return Outcome(
        writers=writers,
        seconds=seconds,
        committed=naive.committed,
        rolled_back=course.rolled_back,
        naive=naive,
        ours=ours,
        settings=track.settings,
        meaning=meaning(naive, ours, track.settings),
    )


class _Course:
    """What the threads of a race share."""

    def __init__(self, track: Track, pause: Callable[[float], None], stop: threading.Event) -> None:
        self._track, self._pause, self.stop = track, pause, stop
        self.written = threading.Event()
        self.committed: dict[str, list[int]] = {}
        self.rolled_back = 0
        self.failures: list[BaseException] = []
        self._numbers: Counter[str] = Counter()
        self._subjects = {f"race-{number}": threading.Lock() for number in range(SUBJECTS)}
        self._count = threading.Lock()

    def wait(self, seconds: float) -> None:
        """Until the time is up, or somebody failed."""
        self.stop.wait(seconds)

    def drive(self, seed: int) -> None:
        """Write until the race ends. A subject's lock stands for the row that an application locks first."""
        try:
            with closing(self._track.writer()) as writer:
                for attempt in attempts(seed):
                    if self.stop.is_set():
                        return
                    with self._subjects[attempt.subject]:
                        self._transaction(writer, attempt)
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the threads
            self._failed(error)

    def _transaction(self, writer: Writer, attempt: Attempt) -> None:
        first = self._numbers[attempt.subject]
        self._numbers[attempt.subject] += attempt.rows
        numbers = range(first, first + attempt.rows)
        writer.write([(attempt.subject, number) for number in numbers])
        self._pause(attempt.hold)
        if attempt.commits:
            writer.commit()
            self.committed.setdefault(attempt.subject, []).extend(numbers)
        else:
            writer.rollback()
            with self._count:
                self.rolled_back += 1

    def follow(self, poller: Poller, seen: list[Mark]) -> None:
        """Poll until all writers have ended and nothing more comes."""
        try:
            with closing(poller):
                while True:
                    ended = self.written.is_set()
                    found = poller.poll()
                    seen.extend(found)
                    if not found:
                        if ended:
                            return
                        self._pause(0.001)
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the threads
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self.failures.append(error)
        self.stop.set()
