"""Databases to begin with, and the way from one of them to a project."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toolkit.cli.app import run

Started = Callable[..., dict[str, Any]]


@pytest.fixture
def start(capsys: pytest.CaptureFixture[str]) -> Started:
    """`strangler init --json`; gives the report, or the error where another exit code is expected."""

    def call(url: str, folder: Path, *options: str, code: int = 0) -> dict[str, Any]:
        ended = run(["init", "--from", url, str(folder), *options, "--json"])
        said = capsys.readouterr().out
        assert ended == code, said
        found: dict[str, Any] = json.loads(said)
        return found

    return call
