"""A process that prunes everything that may go, one event at a time, until somebody kills it."""

import sys
import time

from adapters.log.sql import SqlLog
from adapters.read_store.sql import open_read_store
from adapters.state.store import open_state
from tests.retention.world import EVERYTHING, World
from toolkit.loops.prune import Pruned

if __name__ == "__main__":
    url = sys.argv[1]
    state = open_state(url)
    world = World(state, SqlLog(state.engine), open_read_store(url), chunk=1)
    pruning = world.pruning()
    pruning._retention._sleep = lambda _: time.sleep(0.01)  # type: ignore[attr-defined]

    def report(done: Pruned) -> None:
        sys.stdout.write(f"{done.events}\n")
        sys.stdout.flush()

    pruning.run(EVERYTHING, ["policy_view"], report=report)
