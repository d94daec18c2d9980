"""Whatever happens, in whatever order: no version misses an event, none counts one twice, no matter what was pruned."""

import datetime as dt
import itertools
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.log.sql import SqlLog
from adapters.read_store.sql import open_read_store
from adapters.state.store import open_state
from migrations.schema.read_store import metadata as store_tables
from migrations.schema.state import metadata as state_tables
from tests.retention.world import BOOK, POLICY, POLICY_V2, World, issued
from tests.support.read_store import PremiumAgreed
from toolkit.core.errors import Refused
from toolkit.loops.prune import Limits

NOW = dt.timedelta(0)
steps = st.one_of(
    st.tuples(st.just("happen"), st.integers(1, 5)),
    st.tuples(st.just("park"), st.integers(0, 3)),
    st.tuples(st.just("publish"), st.booleans()),
    st.tuples(st.just("advance"), st.sampled_from([POLICY, BOOK])),
    st.tuples(st.just("again"), st.integers(0, 30)),
    st.tuples(
        st.just("prune"),
        st.sampled_from([Limits(archive=NOW), Limits(log=NOW), Limits(archive=NOW, log=NOW)]),
    ),
    st.tuples(st.just("killed"), st.integers(1, 4)),
    st.tuples(st.just("rebuild"), st.integers(1, 4)),
)


class Story:
    """Does what the steps say, and knows what must come of it."""

    def __init__(self, world: World) -> None:
        self.world, self.number = world, itertools.count()

    def happen(self, count: int) -> None:
        self.world.happen(*(issued(next(self.number)) for _ in range(count)))

    def park(self, number: int) -> None:
        self.world.happen(PremiumAgreed(policy_no=f"P-{number}", premium=Decimal(-1)))

    def publish(self, twice: bool) -> None:
        self.world.publish(twice=twice)

    def advance(self, definition: Any) -> None:
        self.world.advance(definition, 3)

    def again(self, since: int) -> None:
        """A relay that was killed, a backfill that is repeated: old events are given to the archive once more."""
        assert self.world.archive_again(self.world.story.records[since:]) == []

    def prune(self, limits: Limits) -> None:
        self.world.pruning().run(limits, ["policy_view"])

    def killed(self, after: int) -> None:
        """A prune that dies after some steps, with the lease in its hand."""
        pruning = self.world.pruning()
        real, left = pruning._retention.sweep, itertools.count(after, -1)

        def sweep() -> Any:
            for step in real():
                if next(left) <= 0:
                    raise KeyboardInterrupt
                yield step

        pruning._retention.sweep = sweep  # type: ignore[method-assign]
        try:
            pruning.run(Limits(archive=NOW, log=NOW), ["policy_view"])
        except KeyboardInterrupt:
            return

    def rebuild(self, batch: int) -> None:
        """A second version is begun, and goes on by a page each time; or it is refused, and then it is not there."""
        stop = threading.Event()
        known = {one.version for one in self.world.store.versions("policy_view")}
        try:
            self.world.rebuild(POLICY_V2, batch=batch).run(stop, lambda _: stop.set())
        except Refused:
            assert 2 not in known, "a version that was begun is never robbed of what it has to read"


@given(st.lists(steps, max_size=30))
@settings(max_examples=30)
def test_no_live_version_misses_an_event_and_no_duplicate_gets_in(
    tmp_path_factory: Any, given_steps: list[tuple[str, Any]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("any")
    url = f"sqlite:///{folder}/all.db"
    state, store = open_state(url), open_read_store(url)
    state_tables.create_all(state.engine)
    store_tables.create_all(store.engine)
    world = World(state, SqlLog(state.engine), store)
    world.lead()
    story = Story(world)
    try:
        for definition in (POLICY, BOOK):
            world.projector(definition)
        for name, value in [("happen", 3), *given_steps, ("happen", 1), ("publish", False)]:
            getattr(story, name)(value)
        world.drain(POLICY, BOOK)
        assert world.rows(BOOK) == world.told(BOOK)
        assert world.rows(POLICY) == world.told(POLICY)
        if any(one.version == 2 for one in store.versions("policy_view")):
            world.rebuild(POLICY_V2).run()
            assert world.rows(POLICY_V2) == world.told(POLICY_V2)
    finally:
        store.close()
        state.close()
