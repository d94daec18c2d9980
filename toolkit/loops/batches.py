"""Batch after batch of a source's changes: read, translated, archived and marked, each beside the next where capture allows."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar, runtime_checkable

from toolkit.core.changes import Change
from toolkit.loops.translate import Translated, Translation
from toolkit.ports import Cursor


class Counted(Protocol):
    """What tells when to stop."""

    @property
    def changes(self) -> int: ...


D = TypeVar("D", bound=Counted)


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
    """The same, where there is a backlog with three batches under way: one is read, one translated, one archived.

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
        with ThreadPoolExecutor(1, "read ahead") as reader, ThreadPoolExecutor(1, "archive") as archiver:
            archiving: Future[Translated] | None = None
            before: list[int] = []
            for left in range(rounds - 1, -1, -1):
                taken = [change.number for change in changes]
                following = None
                if left and len(changes) > limit // 2:
                    following = reader.submit(beyond, limit, translation.standing(epoch), before + taken)
                outcome = translation.decide(changes, epoch)
                if archiving is not None:
                    yield archiving.result()
                archiving = archiver.submit(translation.store, changes, outcome, epoch)
                before, changes = taken, following.result() if following is not None else []
                if not changes:
                    break
            if archiving is not None:
                yield archiving.result()

    return batches
