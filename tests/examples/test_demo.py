"""`make demo` tells the whole story, and ends by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_story_is_told_to_its_end(tmp_path: Path) -> None:
    # A slower writer than a person sees: beside other tests, views that lag longer than their objective are findings.
    arguments = ["--folder", str(tmp_path / "story"), "--rate", "10"]
    done = subprocess.run(
        [sys.executable, "-m", "examples.insurer.demo", *arguments],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=880,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    for words in (
        "status: in_force -> cancelled",
        "an event of the key is parked",
        "last_change_reason may not be empty",
        "the move is refused",
        "events replayed twice: the same",
        "portal-policy: clean",
        "the move may be made",
        "canary 10 % -> projection",
        "claim-cover may not move",
        "Done in",
    ):
        assert words in done.stdout, words
