"""Project: read the log, fold its events into the rows of one version of a projection, and commit both together.

Where it stands is in the read store, in the transaction of the rows (R4): never in the log's consumer groups.
Who took over a version last owns it; a zombie's next commit is refused.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from toolkit.core.errors import Fenced, Infrastructure, OffsetLost
from toolkit.core.events import Catalogue
from toolkit.core.projections import Definition
from toolkit.core.records import Delivery
from toolkit.loops.keeping import Advanced, Keeper, Pace, logger
from toolkit.loops.stream import Report, Stream
from toolkit.ports import Checkpoint, Clock, Consumer, Log, ReadStore

__all__ = ["Advanced", "Pace", "Projector"]


class Projector:
    """Runs one version of a projection. `start` first; then `advance`, or `run` until it is told to stop."""

    def __init__(
        self,
        definition: Definition,
        catalogue: Catalogue,
        store: ReadStore,
        log: Log,
        topics: Mapping[str, int],
        clock: Clock,
        pace: Pace | None = None,
    ) -> None:
        self.definition = definition
        self._log, self._topics = log, topics
        self._pace = pace or Pace()
        self.keeper = Keeper(definition, catalogue, store, clock, self._pace, topics=topics)
        self._consumer: Consumer | None = None
        self._started = False

    # --- beginning

    def start(self) -> None:
        """Create the version if it is not there, take it over, and go to where its last commit left it."""
        self.keeper.take_over()
        if self._consumer is None:
            self._consumer = self._log.consumer()
        checkpoints = self.keeper.at.checkpoints
        offsets = {
            (topic, partition): checkpoints[topic, partition].next_offset
            for topic, partitions in self._topics.items()
            for partition in range(partitions)
        }
        try:
            self._consumer.assign(offsets)
        except OffsetLost as error:
            raise self.keeper.lost(error) from error
        self._started = True

    @property
    def epoch(self) -> int | None:
        """What fences its commits, once it was started."""
        return self.keeper.epoch

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """How far the projector has come."""
        return list(self.keeper.at.checkpoints.values())

    # --- one step

    def advance(self, limit: int | None = None) -> Advanced:
        """Poll once and commit what came. Raises Fenced, Infrastructure, Refused (too much is parked)."""
        deliveries = self._poll(limit or self.keeper.most, self._patience)
        if not deliveries:
            return Advanced(missing=self.keeper.at.missing)
        self._started = False  # until it is through: what an error leaves behind, only the store knows
        done = self.keeper.advance(deliveries)
        self._started = True
        return done

    @property
    def _patience(self) -> dt.timedelta:
        return dt.timedelta(seconds=self._pace.patience)

    def _poll(self, limit: int, patience: dt.timedelta) -> list[Delivery]:
        if self._consumer is None or not self._started:
            raise RuntimeError("start the projector first")
        try:
            return self._consumer.poll(limit, patience)
        except OffsetLost as error:
            raise self.keeper.lost(error) from error

    # --- the loop

    def run(self, stop: threading.Event, *, report: Report = lambda _: None) -> None:
        """Advance until `stop`. What is not there is waited for with growing pauses; what is wrong is said and raised."""
        pause = 0.0
        with ThreadPoolExecutor(1, f"write {self.definition.identity}") as writer:
            stream = Stream(self.keeper, writer, report)
            try:
                while not (stop.is_set() and stream.settled):
                    try:
                        if stop.is_set():
                            stream.settle()
                            break
                        if not self._started:
                            self.start()
                        stream.take(self._poll(stream.wants, stream.patience(self._patience)))
                        pause = 0.0
                    except Infrastructure as error:
                        # The outcome of a commit may be unknown: only the store can say where it left us.
                        stream.abandon()
                        self._started, pause = False, min(max(pause * 2, 0.5), self._pace.longest_pause)
                        logger.warning("%s: %s; again in %.1f s", self.definition.identity, error, pause)
                        stop.wait(pause)
            except Fenced:
                raise
            except Exception as error:
                stream.abandon()
                self.keeper.failed(error)
                raise
            finally:
                self.close()

    def close(self) -> None:
        """Give back the consumer; the version stays ours until somebody else takes it over."""
        self._started = False
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
