"""Batch after batch of a source's changes: read, translated, archived and marked, each beside the next where capture allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol, Self, TypeVar, runtime_checkable

from toolkit.core.changes import Change
from toolkit.loops.translate import Outcome, Translated, Translation
from toolkit.ports import Cursor


class Counted(Protocol):
    """What tells when to stop."""

    @property
    def changes(self) -> int: ...


D = TypeVar("D", bound=Counted)
_IN_LINE = 2
"""Batches that are archived, or wait for that: each is in memory."""


@runtime_checkable
class Ahead(Protocol):
    """A capture that can be read while those before are not marked yet."""

    def pending_beyond(self, limit: int, cursors: Sequence[Cursor], taken: Sequence[int]) -> list[Change]:
        """What `pending` would give if the numbers in `taken` were marked."""


def one_by_one(step: Callable[[int, int], D]) -> Callable[[int, int, int], Generator[D]]:
    """Do one step after the other, up to so many, until one finds no more than half of what it may take."""

    def batches(epoch: int, limit: int, rounds: int) -> Generator[D]:
        for _ in range(rounds):
            done = step(epoch, limit)
            yield done
            if done.changes <= limit // 2:
                return

    return batches


def batches_of(translation: Translation) -> Callable[[int, int, int], Generator[Translated]]:
    """The same, where there is a backlog with batches under way: one is read, one translated, others are archived.

    Databases and this process take turns otherwise. The order is that of one by one: a batch is archived, and marked,
    after the one before, and what is read ahead is what would be offered if those before were marked.
    """
    capture = translation.source.capture
    if not isinstance(capture, Ahead):
        return one_by_one(translation.step)
    beyond = capture.pending_beyond

    def batches(epoch: int, limit: int, rounds: int) -> Generator[Translated]:
        changes = translation.read(epoch, limit)
        if len(changes) <= limit // 2:
            yield translation.take(changes, epoch)
            return
        with ThreadPoolExecutor(1, "read ahead") as reader, _Archiving(translation, epoch) as archiving:
            for left in range(rounds - 1, -1, -1):
                following = None
                if left and len(changes) > limit // 2:
                    taken = [*archiving.taken, *(change.number for change in changes)]
                    following = reader.submit(beyond, limit, translation.standing(epoch), taken)
                outcome = translation.decide(changes, epoch)
                if archiving.full:
                    yield archiving.first()
                archiving.give(changes, outcome)
                changes = following.result() if following is not None else []
                if not changes:
                    break
            while not archiving.empty:
                yield archiving.first()
            archiving.end()

    return batches


class _Batch(NamedTuple):
    """One that is under way."""

    archived: Future[Translated]
    marked: Future[None]
    numbers: list[int]


class _Archiving:
    """Batches that are archived one after the other, and marked likewise, beside what is done meanwhile.

    More than one waits in line, so that the interpreter has something to do while the databases work on the first.
    """

    def __init__(self, translation: Translation, epoch: int) -> None:
        self._translation, self._epoch = translation, epoch
        self._archive, self._mark = ThreadPoolExecutor(1, "archive"), ThreadPoolExecutor(1, "mark")
        self._line: deque[_Batch] = deque()
        self._unmarked: deque[_Batch] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._archive.shutdown()
        self._mark.shutdown()
        if kind is not None:  # a batch may have been decided that nobody stored
            self._translation.forget()

    @property
    def full(self) -> bool:
        """Has the first of them to be archived before there is another one?"""
        return len(self._line) == _IN_LINE

    @property
    def empty(self) -> bool:
        """Has `first` given all of them?"""
        return not self._line

    @property
    def taken(self) -> list[int]:
        """The numbers of all that may not be marked yet."""
        while self._unmarked and self._unmarked[0].marked.done():
            self._unmarked.popleft().marked.result()
        return [number for batch in self._unmarked for number in batch.numbers]

    def give(self, changes: Sequence[Change], outcome: Outcome) -> None:
        """The next batch."""
        before = list(self._unmarked)
        archived = self._archive.submit(self._put, changes, outcome, before)
        marked = self._mark.submit(self._marked, changes, archived)
        batch = _Batch(archived, marked, [change.number for change in changes])
        self._line.append(batch)
        self._unmarked.append(batch)

    def first(self) -> Translated:
        """What the first of them came to, once it is archived."""
        return self._line.popleft().archived.result()

    def end(self) -> None:
        """Wait until all are marked."""
        for batch in self._unmarked:
            batch.marked.result()

    def _put(self, changes: Sequence[Change], outcome: Outcome, before: Sequence[_Batch]) -> Translated:
        if before:
            before[-1].archived.result()  # what comes after a batch that failed was never due
        for batch in before[:-1]:
            batch.marked.result()  # what one of them uses up is noted with what the next one does, and no more
        return self._translation.put(changes, outcome, self._epoch)

    def _marked(self, changes: Sequence[Change], archived: Future[Translated]) -> None:
        archived.result()
        self._translation.mark(changes)
