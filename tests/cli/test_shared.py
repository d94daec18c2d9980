"""`read_store.shared`: what check refuses, and two commands that follow one projection together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.flowing import prepare
from tests.support.folds import fold, stored, whole_history
from tests.support.insurer import SOURCE, Insurer, make_insurer, opened
from tests.support.waiting import wait_until
from toolkit.core.errors import ProjectError
from toolkit.loader import load

SHARED = ("customer_policy", "claim")


def insurer(folder: Path, *shared: str) -> Insurer:
    made = make_insurer(folder, {}, size=30)
    toml = folder / "strangler.toml"
    names = ", ".join(f'"{name}"' for name in shared)
    toml.write_text(toml.read_text().replace("[read_store]\n", f"[read_store]\nshared = [{names}]\n"))
    return made


def test_what_cannot_be_shared_is_refused_event_by_event_with_all_other_faults(tmp_path: Path) -> None:
    made = insurer(tmp_path / "project", "claim", "compliance_hold", "nobody")
    with pytest.raises(ProjectError) as raised:
        load(made.folder)
    said = [(one.where, one.what) for one in raised.value.faults]
    assert all("projection claim" not in where for where, _ in said)
    assert any(
        "projection compliance_hold v1" in where and "is about the subject" in what for where, what in said
    )
    assert any(what.startswith("there is no projection nobody") for _, what in said)
    ways_out = [one.next for one in raised.value.faults if "is about the subject" in one.what]
    assert ways_out
    assert all("into its key" in way and "read_store.shared" in way for way in ways_out)


def test_two_processes_of_one_host_and_number_are_told_apart(tmp_path: Path) -> None:
    """Containers in their host's network: who thinks that another's leases are its own never asks for its part."""
    made = insurer(tmp_path / "project")
    with opened(made) as one, opened(made) as other:
        assert one.owner == one.owner
        assert one.owner != other.owner


@pytest.mark.slow
def test_two_commands_divide_a_projection_and_one_takes_over_from_the_other(tmp_path: Path) -> None:
    made = insurer(tmp_path / "project", *SHARED)
    with opened(made) as app:
        prepare(app)
        with made.running("project") as first, made.running("project") as second:
            definitions = [one for name in SHARED for one in app.running_versions(name)]
            for child in (first, second):
                for definition in definitions:
                    child.wait_for(f"{definition.identity}: reads ", 60)
            assert second.terminate() == 0
            topic = app.project.topic(SOURCE)
            history = whole_history(app, topic)

            def caught_up() -> bool:
                there = [app.store.checkpoints(one.name, one.version) for one in definitions]
                return all(sum(one.sequence for one in some) == len(history) for some in there)

            wait_until(caught_up, 60)
            for definition in definitions:
                assert stored(app, definition) == fold(app, definition, history)
            assert first.terminate() == 0
