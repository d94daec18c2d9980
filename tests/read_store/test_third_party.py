"""A read store that somebody else ships: found by its entry point, it keeps a whole project's projections without SQL."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.legacy.test_any_source import distribution
from tests.support.flowing import following, prepare
from tests.support.insurer import Insurer, make_insurer, opened
from toolkit import registry
from toolkit.app import open_project
from toolkit.cli.app import run
from toolkit.core.errors import ProjectError, UsageError
from toolkit.loader import load

ENTRY_POINTS = """
[strangler.read_store]
documents = examples.read_store.documents:open_documents
"""


@pytest.fixture
def insurer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Insurer:
    distribution(tmp_path / "site", "strangler_documents", ENTRY_POINTS, "")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()
    environment = {
        "READ_STORE_URL": f"documents://{tmp_path}/read.documents",
        "STATE_URL": f"sqlite:///{tmp_path}/state.db",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return make_insurer(tmp_path / "project", environment, size=20)


@pytest.fixture
def strangler(insurer: Insurer, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(*arguments: str) -> tuple[int, str]:
        code = run([*arguments, "--project", str(insurer.folder)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


def test_it_is_filled_verified_rebuilt_compared_and_switched_and_reads_stay_on_legacy(
    insurer: Insurer, strangler: Callable[..., tuple[int, str]]
) -> None:
    with opened(insurer) as app:
        prepare(app)
        with following(app):
            assert strangler("verify", "customer_policy")[0] == 0
            code, said = strangler("rebuild", "customer_policy", "--version", "1")
            assert code == 0, said
        assert strangler("compare", "customer_policy", "--old", "2", "--new", "1")[0] in (0, 1)
        assert strangler("switch", "customer_policy", "--version", "1")[0] == 0
        told: Any = json.loads(strangler("versions", "--json")[1])
        assert "documents" in registry.names(registry.READ_STORE)
        assert [one.version for one in app.store.versions("customer_policy") if one.serving] == [1], told
        assert not app.store.parked("customer_policy", 1)
        assert len(app.store.rows(app.project.definition("customer_policy", 1), None, 99)) == 20
        assert strangler("doctor")[0] in (0, 1)
        for answered in (
            ("status",),
            ("authority",),
            ("repair", "show"),
            ("read", "portal-policy", "P000000001"),
        ):
            assert strangler(*answered)[0] in (0, 1), strangler(*answered)
        code, said = strangler("shadow", "run", "portal-policy")
        assert (code, "answers no SQL" in said, "leave its route at legacy" in said) == (2, True, True), said


def test_where_the_state_is_kept_has_to_be_said(insurer: Insurer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_URL", "")
    with pytest.raises(ProjectError, match=r"documents: cannot keep the toolkit's own state.*\[state\]"):
        load(insurer.folder)


def test_one_that_nobody_ships_is_refused_with_those_that_there_are(
    insurer: Insurer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READ_STORE_URL", "elsewhere://x")
    there_are = "read store for elsewhere: URLs; known are documents"
    with open_project(insurer.folder) as app, pytest.raises(UsageError, match=there_are):
        app.store.versions()
