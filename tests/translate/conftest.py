from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.legacy import Legacy, captured, legacy, legacy_url
from tests.translate.world import World

__all__ = ["captured", "legacy", "legacy_url"]


@pytest.fixture
def world(captured: Legacy, tmp_path: Path) -> Iterator[World]:
    """A captured legacy database, an archive, and the lease to write to it."""
    made = World(captured, f"sqlite:///{tmp_path}/state.db")
    yield made
    made.close()
