"""Batch after batch of a source's changes: read, translated, archived and marked, each beside the next where capture allows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, Self, TypeVar, runtime_checkable

from toolkit.core.changes import Change
from toolkit.loops.translate import Outcome, Translated, Translation
from toolkit.ports import Cursor


class Counted(Protocol):
    """What tells when to stop."""

    @property
    def changes(self) -> int: ...


D = TypeVar("D", bound=Counted)
_IN_LINE = 2
"""Batches that are archived or wait for it: each is in memory."""


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
            while archiving.taken:
                yield archiving.first()

    return batches


class _Archiving:
    """Batches that are archived and marked one after the other, beside what is done meanwhile.

    More than one waits in line, so that the interpreter has something to do while the database works on the first.
    """

    def __init__(self, translation: Translation, epoch: int) -> None:
        self._translation, self._epoch = translation, epoch
        self._thread = ThreadPoolExecutor(1, "archive")
        self._line: deque[tuple[Future[Translated], list[int]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown()
        if kind is not None:  # a batch may have been decided that nobody stored
            self._translation.forget()

    @property
    def full(self) -> bool:
        """Has the first of them to be over before there is another one?"""
        return len(self._line) == _IN_LINE

    @property
    def taken(self) -> list[int]:
        """The numbers of all that may not be marked yet."""
        return [number for _, numbers in self._line for number in numbers]

    def give(self, changes: Sequence[Change], outcome: Outcome) -> None:
        """The next batch."""
        before = self._line[-1][0] if self._line else None
        future = self._thread.submit(self._store, changes, outcome, before)
        self._line.append((future, [change.number for change in changes]))

    def first(self) -> Translated:
        """What the first of them came to, once it is over."""
        return self._line.popleft()[0].result()

    def _store(
        self, changes: Sequence[Change], outcome: Outcome, before: Future[Translated] | None
    ) -> Translated:
        if before is not None:
            before.result()  # what comes after a batch that failed was never due
        return self._translation.store(changes, outcome, self._epoch)
