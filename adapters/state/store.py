"""The state database as one object: what every loop keeps besides the read models."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from adapters.engines import open_engine
from adapters.state.archive import SqlArchive
from adapters.state.inbox import SqlInbox
from adapters.state.kinds import SqlKinds
from adapters.state.leases import SqlLeases
from adapters.state.pauses import SqlPauses
from adapters.state.retention import SqlRetention
from adapters.state.serving import SqlServingLedger
from adapters.state.skew import Skew
from adapters.state.unclassified import SqlUnclassified


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the state database holds, by subject."""

    engine: Engine
    archive: SqlArchive
    retention: SqlRetention
    leases: SqlLeases
    pauses: SqlPauses
    unclassified: SqlUnclassified
    kinds: SqlKinds
    serving: SqlServingLedger

    def inbox(self, source: str) -> SqlInbox:
        """The fetched changes of one legacy source."""
        return SqlInbox(self.engine, source)

    def close(self) -> None:
        """Give back the connections."""
        self.engine.dispose()


def open_state(url: str) -> State:
    """Open the state database at a URL; its tables are the work of `migrations`."""
    engine = open_engine(url)
    return State(
        engine=engine,
        archive=SqlArchive(engine),
        retention=SqlRetention(engine),
        leases=SqlLeases(engine, Skew(engine)),
        pauses=SqlPauses(engine),
        unclassified=SqlUnclassified(engine),
        kinds=SqlKinds(engine),
        serving=SqlServingLedger(engine),
    )
