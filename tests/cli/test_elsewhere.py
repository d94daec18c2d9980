"""What depends on the process is the same in each replay of one process; another process tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.flowing import following, prepare
from tests.support.insurer import make_insurer, opened
from toolkit.cli.app import run

IMPURE = """
import datetime as dt
import msgspec
from toolkit import Projection, on
from . import events as e


class HashOrder(Projection, version=1, context="c", key="policy_no"):
    policy_no: str
    note: str = ""

    @on(e.PolicyIssued, creates=True)
    def issued(self, event):
        self.note = msgspec.json.encode({event.policy_no, event.customer_no, event.product, "a", "b"}).decode()


class LocalTime(Projection, version=1, context="c", key="policy_no"):
    policy_no: str
    second: int = 0

    @on(e.PolicyIssued, creates=True)
    def issued(self, event):
        self.second = int(dt.datetime.combine(event.issued_on, dt.time()).timestamp())


class Alike(Projection, version=1, context="c", key="policy_no"):
    policy_no: str
    note: str = ""

    @on(e.PolicyIssued, creates=True)
    def issued(self, event):
        self.note = msgspec.json.encode({event.policy_no, "a"}, order="sorted").decode() + str(event.issued_on)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An insurer with projections that no look at their source finds impure."""
    insurer = make_insurer(tmp_path_factory.mktemp("insurer") / "project", {}, size=20)
    (insurer.folder / "impure.py").write_text(IMPURE)
    settings = insurer.folder / "strangler.toml"
    settings.write_text(settings.read_text().replace('"projections", ', '"projections", "impure", '))
    with opened(insurer) as app:
        prepare(app)
        with following(app):
            return insurer.folder


@pytest.fixture
def verify(folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str]:
        code = run(["verify", *arguments, "--project", str(folder), "--json"])
        return code, json.loads(capsys.readouterr().out)["detail"]

    return call


@pytest.mark.parametrize("projection", ["hash_order", "local_time"])
def test_what_depends_on_the_process_is_told_with_both_rows(verify: Any, projection: str) -> None:
    code, said = verify(projection)
    assert code == 1
    assert "replayed in another process: " in said
    assert '"policy_no":"P0000000' in said
    assert "it depends on the order of a set, the time zone, the language or the folder" in said


def test_alone_this_process_cannot_tell(verify: Any) -> None:
    assert verify("local_time", "--here")[0] == 0


def test_what_is_pure_is_the_same_everywhere(verify: Any) -> None:
    code, said = verify("alike")
    assert (code, "once more in another process" in said) == (0, True)
