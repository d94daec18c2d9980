"""The messages of many partitions in one order: the database's, as far as it can be told from what was read. Pure.

Within a partition nothing is ever moved. Between partitions the one that stands first in the source goes first, and a
partition of which more can be read is read before it is passed over. With transaction metadata, transactions come whole,
in the order of their ENDs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

import msgspec

from adapters.legacy.debezium.envelope import Boundary, Found, RowChanged

Partition = tuple[str, int]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was read: where it stood, what it says, and its place in the source. `rank` settles a tie."""

    at: Partition
    offset: int
    found: Found
    order: tuple[str, ...] = ()
    rank: int = 0
    raw: bytes = b""
    key: bytes | None = None
    fault: str = ""
    whole: bool = False
    """Is it part of a transaction that is given out whole?"""

    @property
    def transaction(self) -> str | None:
        """The id of its transaction, if the message tells."""
        found = self.found
        return found.transaction.id if isinstance(found, RowChanged) and found.transaction else None


class Merge:
    """Queues of what was read, and the one order that they are taken in."""

    def __init__(self) -> None:
        self._queues: dict[Partition, deque[Item]] = {}

    def add(self, item: Item) -> None:
        """Put a message behind the others of its partition."""
        self._queues.setdefault(item.at, deque()).append(item)

    def held(self, at: Partition) -> int:
        """How many messages of a partition wait here?"""
        return len(self._queues.get(at, ()))

    def first(self, at: Partition) -> int | None:
        """The offset of the first message that waits; None when none does."""
        queue = self._queues.get(at)
        return queue[0].offset if queue else None

    def heads(self) -> list[Item]:
        """The first message of each partition that has one."""
        return [queue[0] for queue in self._queues.values() if queue]

    def queue(self, at: Partition) -> deque[Item]:
        """What waits of a partition, in its order."""
        return self._queues.get(at, deque())

    def queues(self) -> Iterable[deque[Item]]:
        """Those that are not empty."""
        return [queue for queue in self._queues.values() if queue]

    def take(self, limit: int, ended: Callable[[Partition], bool], read: Iterable[Partition]) -> list[Item]:
        """Up to `limit` messages, the first in the source first, while every partition shows one or is `ended`."""
        partitions = list(read)
        taken: list[Item] = []
        while len(taken) < limit:
            if any(not self.held(at) and not ended(at) for at in partitions):
                break
            heads = self.heads()
            if not heads:
                break
            best = min(heads, key=_in_source)
            taken.append(self._queues[best.at].popleft())
        return taken


class Transactions:
    """Gives out transactions whole, as the topic of transaction metadata tells them.

    `counted` says how many of a transaction's events are in the topics that we read, and `partitions` which those are.
    What has no transaction (a snapshot) goes as it comes. `broken` are transactions that were given out although not all
    of their events came: a transaction that began before we did, or events that a transform took away.
    """

    def __init__(
        self,
        merge: Merge,
        counted: Callable[[Mapping[str, int]], int],
        partitions: Callable[[], Iterable[Partition]],
    ) -> None:
        self._merge, self._counted, self._partitions = merge, counted, partitions
        self._begun: dict[str, Item] = {}
        self._ends: deque[tuple[Item, Boundary]] = deque()
        self.broken: list[str] = []

    def add(self, item: Item) -> None:
        """A BEGIN or an END. Only an END tells what the transaction is made of."""
        if not isinstance(item.found, Boundary):
            return
        if item.found.ended:
            self._ends.append((item, item.found))
        else:
            self._begun.setdefault(item.found.id, item)

    def first(self, at: Partition) -> int | None:
        """Where to read on from after a restart: the BEGIN of the first transaction that is not given out."""
        waiting = [*self._begun.values(), *(item for item, _ in self._ends)]
        return min((item.offset for item in waiting if item.at == at), default=None)

    @property
    def waiting(self) -> str:
        """Which transaction waits for its changes, in words."""
        if not self._ends:
            return ""
        end = self._ends[0][1]
        there = len({_identity(item) for item in self._leading(end.id)})
        return f"transaction {end.id}: {there} of {self._counted(end.collections)} changes have come"

    def take(self, limit: int, done: Callable[[str], bool]) -> tuple[list[Item], list[str]]:
        """Messages of whole transactions (more than `limit` only to end one), and the transactions that ended.

        `done`: was it given out before? Then the connector sent it again.
        """
        taken: list[Item] = []
        ended: list[str] = []

        def known(transaction: str) -> bool:
            return transaction in ended or done(transaction)

        while len(taken) < limit:
            more = self._singles() or self._orphans(known)
            if not more:
                end = self._next(known)
                if end is None:
                    break
                ended.append(end.id)
                self._begun.pop(end.id, None)
                self._ends.popleft()
                more = self._pop(end.id, whole=end.id not in self.broken)
            taken.extend(more)
        return taken, ended

    def _singles(self) -> list[Item]:
        """Heads without a transaction, the first in the source first."""
        found = []
        while heads := [item for item in self._merge.heads() if item.transaction is None]:
            best = min(heads, key=_in_source)
            found.append(self._merge.queue(best.at).popleft())
        return found

    def _orphans(self, known: Callable[[str], bool]) -> list[Item]:
        """Heads of a transaction whose END does not come (any more): it was given out before, or a later one of the same
        partition has its END, and they come in their order.
        """
        to_come = {end.id for _, end in self._ends}
        for queue in self._merge.queues():
            one = queue[0].transaction
            if one is None or one in to_come:
                continue
            if known(one):
                return self._pop(one, whole=False)
            if any(item.transaction in to_come for item in queue):
                self.broken.append(one)
                return self._pop(one, whole=False)
        return []

    def _next(self, known: Callable[[str], bool]) -> Boundary | None:
        """The END of the next transaction, if all of it is here; None when it has to be waited for."""
        if not self._ends:
            return None
        end = self._ends[0][1]
        came = len({_identity(item) for item in self._leading(end.id)})
        if came >= self._counted(end.collections) or known(end.id):
            return end
        if end.id in self._begun and not self._passed(end.id):
            return None
        self.broken.append(end.id)
        return end

    def _passed(self, transaction: str) -> bool:
        """Does every partition show a later transaction, so that nothing of this one can follow?"""
        later = {end.id for _, end in self._ends if end.id != transaction}
        return all(
            any(item.transaction in later for item in self._merge.queue(at)) for at in self._partitions()
        )

    def _leading(self, transaction: str) -> list[Item]:
        found = []
        for queue in self._merge.queues():
            for item in queue:
                if item.transaction != transaction:
                    break
                found.append(item)
        return found

    def _pop(self, transaction: str, *, whole: bool) -> list[Item]:
        items = sorted(self._leading(transaction), key=_in_transaction)
        for queue in self._merge.queues():
            while queue and queue[0].transaction == transaction:
                queue.popleft()
        return [msgspec.structs.replace(item, whole=whole) for item in items]


def _in_source(item: Item) -> tuple[tuple[str, ...], int, Partition]:
    return item.order, item.rank, item.at


def _in_transaction(item: Item) -> tuple[int, tuple[str, ...], int, int]:
    found = item.found
    order = found.transaction.order if isinstance(found, RowChanged) and found.transaction else 0
    return order, item.order, item.rank, item.offset


def _identity(item: Item) -> object:
    return _in_transaction(item)[0] or (item.at, item.offset)
