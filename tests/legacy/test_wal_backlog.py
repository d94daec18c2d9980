"""A backlog that waits in the log is worked off as one from triggers is (R1, R2, R3)."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from adapters.legacy import open_legacy
from tests.support.legacy import TABLES, hold, policy
from tests.support.wal import LogLegacy, legacy
from tests.translate.world import World
from toolkit.loops.batches import Ahead, batches_of
from toolkit.loops.translate import Translated
from toolkit.settings import LegacySection

__all__ = ["legacy"]
pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("beside", [False, True])
def test_a_backlog_comes_from_the_log_once_and_in_order_batch_after_batch(
    legacy: LogLegacy, tmp_path: Path, *, beside: bool
) -> None:
    """Nothing is asked of the table that triggers fill: mostly there is none, and what it has is another capture's."""
    legacy.install()
    if beside:
        by_triggers = open_legacy("other", legacy.url, LegacySection(url=legacy.url, context="policies"))
        by_triggers.capture.install(by_triggers.capture.plan(TABLES))
        by_triggers.close()
    world = World(legacy, f"sqlite:///{tmp_path}/archive.db")
    world.skip_backfill()
    for number in range(1, 13):
        legacy.run(policy(number), hold(number, of=number))
    legacy.run(*(f"UPDATE POLMAST SET PREM = {number}" for number in range(2)))
    translation = world.translation()
    assert not isinstance(translation.source.capture, Ahead)
    passes: list[list[Translated]] = []
    while not passes or passes[-1][-1].changes:
        with closing(batches_of(translation)(world.epoch, 5, 50)) as batches:
            passes.append(list(batches))
    assert len(passes[0]) > 3
    assert sum(one.changes for done in passes for one in done) == 48
    for number in range(1, 13):
        assert world.types(f"P{number:04}") == ["PolicyStated", "HoldPlaced"] + ["PolicyStated"] * 2
    assert (world.folded(), legacy.capture.pending(10, [])) == (world.stored(), [])
    world.close()
