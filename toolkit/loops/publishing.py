"""Publishing: what the archive holds goes to the log, one batch behind the translation that archives the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from toolkit.core.errors import Infrastructure
from toolkit.core.records import Record
from toolkit.ports import Archive, Publisher

_LOOK_UP = 1.0
"""Seconds between two looks at the lease while the log does not answer."""


class Publishing:
    """Hands batches to the log in the order of the archive. At most one is on its way, and one is made beside it.

    What a leader finds in the archive comes first. From then on it need not read what it has just written, until
    something fails: then the archive is asked again.
    """

    def __init__(self, archive: Archive, publisher: Publisher, *, topic: str, source: str) -> None:
        self._archive, self._publisher = archive, publisher
        self._topic, self._source = topic, source
        self._epoch, self._known = 0, False
        self._found: dict[int, int] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._sent: tuple[Future[int], int] | None = None

    def give(self, records: Sequence[Record], epoch: int, batch: int, between: Callable[[], object]) -> int:
        """Publish what was archived just now. Returns how many records the log acknowledged meanwhile.

        Raises Infrastructure when the log did not take what it was given before.
        """
        if epoch != self._epoch:  # another led in between
            self._epoch, self._known, self._sent = epoch, False, None
        if not self._known:
            return self.rest(batch, between)
        count = self._end(between)
        # What is archived beside publishing may have been found in the archive before it is given.
        self._send([one for one in records if one.sequence > self._found.get(one.partition, 0)])
        return count

    def rest(self, batch: int, between: Callable[[], object]) -> int:
        """Publish whatever the archive holds and the log does not."""
        count = self._end(between)
        if not self._known:
            self._found = {}
        while page := self._archive.unpublished(self._topic, batch):
            self._found |= {one.partition: one.sequence for one in page}
            self._send(page)
            count += self._end(between)
            between()
        self._known = True
        return count

    def _end(self, between: Callable[[], object]) -> int:
        """Wait for what is on its way. A log that hangs does not end the lease."""
        if self._sent is None:
            return 0
        (future, given), self._sent = self._sent, None
        known, self._known = self._known, False  # whatever is raised from here on, the archive knows better
        while not wait([future], timeout=_LOOK_UP).done:
            between()
        count = future.result()
        if count < given:
            raise Infrastructure(
                f"the log acknowledged {count} of {given} records of {self._topic}; the others are published again"
            )
        self._known = known
        return count

    def doubt(self) -> None:
        """Something may be in the archive that was not given: it has its sequences, so nothing may go before it."""
        self._known = False

    def close(self) -> None:
        """Let go of the thread; what is on its way is a duplicate for whoever comes next."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)
            self._threads = None

    def _send(self, records: Sequence[Record]) -> None:
        if not records:
            return
        if self._threads is None:
            self._threads = ThreadPoolExecutor(1, f"publish {self._topic}")
        self._sent = self._threads.submit(self._publish, records, self._epoch), len(records)

    def _publish(self, records: Sequence[Record], epoch: int) -> int:
        """Hand them to the log, and note where it keeps them. Returns how many it acknowledged."""
        runs = self._publisher.publish(records)
        self._archive.published(self._topic, runs, source=self._source, epoch=epoch)
        return sum(run.count for run in runs)
