"""What is wrong in one of several projections of a capability is repaired there, with a key of that projection."""

import dataclasses
import datetime as dt
import time
from collections.abc import Callable
from typing import cast

import msgspec
import pytest
from sqlalchemy import text

from shadow.capability import Shadowing
from shadow.report import evidence
from tests.routes import estate
from tests.routes.estate import TOPIC
from tests.routes.world import World
from toolkit import commands
from toolkit.core.errors import FaultySql, Infrastructure
from toolkit.core.evidence import Discrepancy, Finding, ShadowRun
from toolkit.core.routes import Stage
from toolkit.cutover.facts import gather
from toolkit.cutover.gates import unfit_run
from toolkit.loader import Project
from toolkit.ports import Batch, ReadStore
from toolkit.questions.repair import Kind, Loops, execute, plan
from toolkit.router.paths import ReadPaths

Make = Callable[..., World]

COVER = """

class Cover(Projection, version=1, context="customer-service", key=("policy_no", "cover_no")):
    policy_no: str
    cover_no: int
    amount: int

    @on(PolicyIssued, creates=True, key=("policy_no", "policy_no"))
    def issued(self, event): ...
"""


@pytest.fixture
def world(make_world: Make, monkeypatch: pytest.MonkeyPatch) -> World:
    """`portal` is answered from policies and their covers, a record for each cover."""
    one = '[capability.portal]\nprojection = "policy"\n'
    two = '[capability.portal]\nprojection = ["policy", "cover"]\nrows = ["cover_no"]\n'
    monkeypatch.setattr(estate, "SETTINGS", estate.SETTINGS.replace(one, two))
    monkeypatch.setitem(estate.FILES, "model.py", estate.MODEL + COVER)
    world = make_world()
    world.capture()
    world.backfilled()
    world.commit("P1", "P2")
    world.relay()
    world.project_all()
    cover = world.project.definition("cover", 1)
    world.store.create(cover, {TOPIC: 2}, world.clock())
    batch = Batch(upserts=[{"policy_no": "P1", "cover_no": 7, "amount": 3}])
    world.store.commit(cover, batch, epoch=world.store.seize("cover", 1), now=world.clock())
    return world


def differs(path: str, kind: str, **detail: object) -> Discrepancy:
    return Discrepancy(
        run_id="r", capability="portal", fingerprint="f00", key="P1", kind=kind, path=path, detail=detail
    )


def run_with(world: World, finding: Finding) -> ShadowRun:
    now = world.clock()
    return ShadowRun(
        id="r",
        capability="portal",
        config_hash=world.project.config_hash("portal"),
        versions={"policy": 1, "cover": 1},
        started_at=now,
        ended_at=now,
        verdict="findings",
        judged=400,
        findings=(finding,),
    )


@pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)
def test_a_record_that_is_missing_is_folded_again_in_the_projection_that_tells_records_apart(
    world: World,
) -> None:
    [action] = plan(world.around, "portal", [differs("(record)", "mechanical", row=[7])])
    assert (action.kind, action.target, action.keys) == (Kind.REPROJECT, "cover", ("P1/7",))
    assert action.command == "strangler repair key cover P1/7"


@pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["mechanical", "semantic"])
def test_all_the_keys_of_a_difference_are_told_in_one_command(world: World, kind: str) -> None:
    finding = Finding(fingerprint="f00", kind=kind, path="status", keys=2)
    world.evidence.save_run(run_with(world, finding), [])
    both = [differs("status", kind), msgspec.structs.replace(differs("status", kind), key="P2")]
    [action] = plan(world.around, "portal", both)
    assert "strangler repair key policy P1 P2" in action.command


@pytest.mark.parametrize(
    ("keys", "told"),
    [((), "KEY"), (["P 1", "P2"], "'P 1' P2"), (["-5", "6"], "-- -5 6")],
)
def test_a_key_is_told_as_a_shell_takes_it(keys: list[str], told: str) -> None:
    assert commands.reproject("policy", keys) == f"strangler repair key policy {told}"


@pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)
@pytest.mark.parametrize("row", [[8], ["redacted:5f"], []], ids=["unknown", "redacted", "not told"])
def test_a_key_that_could_not_be_folded_is_not_proposed(world: World, row: list[object]) -> None:
    [action] = plan(world.around, "portal", [differs("(record)", "mechanical", row=row)])
    assert (action.kind, action.target, action.keys) == (Kind.MEND, "cover", ())
    assert action.command.startswith("strangler verify cover ")


@pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("amount", [("cover", "strangler repair key cover P1/7")]),
        ("status", [("policy", "strangler repair key policy P1")]),
        (
            "policy_no",
            [("policy", "strangler repair key policy P1"), ("cover", "strangler repair key cover P1/7")],
        ),
        ("tongue", [("portal", "strangler verify policy; strangler verify cover: where they hold")]),
    ],
)
def test_a_value_that_differs_is_of_the_projections_that_have_its_column(
    world: World, path: str, told: list[tuple[str, str]]
) -> None:
    finding = Finding(fingerprint="f00", kind="semantic", path=path, keys=1)
    world.evidence.save_run(run_with(world, finding), [])
    actions = plan(world.around, "portal", [differs(path, "semantic", row=[7])])
    assert [one.target for one in actions] == [target for target, _ in told]
    for action, (_, command) in zip(actions, told, strict=True):
        assert command in action.command


@pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)
def test_a_read_that_cannot_be_run_is_mended_in_its_file_and_nothing_is_rebuilt(world: World) -> None:
    finding = Finding(fingerprint="f00", kind="error", path="(answer)", keys=800)
    world.evidence.save_run(run_with(world, finding), [])
    said = "FaultySql: portal.read.sql cannot be run: (1064, ...)"
    [action] = plan(world.around, "portal", [differs("(answer)", "error", projection=said)])
    assert (action.kind, action.target) == (Kind.MEND, "portal")
    assert said in action.why
    assert "mend read.sql" in action.command
    assert "rebuild" not in action.command


@pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)
def test_what_the_engine_refuses_is_told_with_the_file_that_it_is_in(world: World) -> None:
    (world.project.folder / "read.sql").write_text("SELEC status FROM policy WHERE policy_no = :policy_no")
    paths = ReadPaths(world.project, "portal", world.legacy, world.store)
    with pytest.raises(FaultySql, match=r"^read\.sql cannot be run: .*syntax error"):
        paths.view(paths.asked("P1", today=world.clock().date()))


class Gone:
    """A read store that does not answer."""

    def __getattr__(self, name: str) -> Callable[..., object]:
        def ask(*_: object, **__: object) -> object:
            raise Infrastructure("connection refused")

        return ask


@pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)
def test_where_the_read_store_does_not_answer_nobody_says_that_nothing_is_to_be_repaired(
    world: World,
) -> None:
    gone = dataclasses.replace(world.around, read_store=cast(ReadStore, Gone()))
    actions = plan(gone, "portal")
    assert {one.kind for one in actions} == {Kind.REACH}
    assert "connection refused" in actions[0].why
    assert execute(actions, cast(Loops, None)) == []


@pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)
def test_a_view_that_is_not_there_or_promises_nothing_is_to_be_repaired_once_it_is_read(world: World) -> None:
    assert plan(world.around, "portal") == []
    world.route(Stage.SHADOW)
    told = {one.target: one.why for one in plan(world.around, "portal")}
    assert told.keys() == {"cover"}, "nothing projects it"
    assert "promises nothing" in told["cover"]
    with world.store.engine.begin() as connection:
        connection.execute(text("UPDATE strangler_projection SET serving = false"))
    assert {one.why for one in plan(world.around, "portal")} == {"no version of it serves"}


@pytest.mark.parametrize("ahead", [dt.timedelta(), dt.timedelta(hours=1)])
@pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)
def test_what_a_run_saw_before_capture_was_removed_and_installed_again_proves_nothing(
    world: World, ahead: dt.timedelta
) -> None:
    """A row that was deleted in between is nobody's change. Our clock, which stamps the run, may be ahead of legacy's."""
    before = gather(world.around, "portal").installation
    run = msgspec.structs.replace(
        run_with(world, Finding(fingerprint="f00", kind="semantic", path="status", keys=1)),
        findings=(),
        installation=before or "",
        ended_at=world.clock() + ahead,
    )
    world.evidence.save_run(run, [])
    assert "before capture" not in unfit_run(gather(world.around, "portal"))
    world.legacy.capture.remove(world.legacy.capture.plan(world.project.captured("crm")))
    time.sleep(0.01)
    world.capture()
    assert "before capture was installed" in unfit_run(gather(world.around, "portal"))


@pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)
def test_a_shadow_run_says_beside_which_capture_it_was_made(world: World) -> None:
    found = Shadowing(
        project=world.project,
        capability="portal",
        legacy=world.legacy,
        store=world.store,
        archive=world.around.archive,
        clock=world.clock,
        catch_up=0,
    ).run({})
    run, _ = evidence(found)
    world.evidence.save_run(run, [])
    assert run.installation
    assert world.evidence.runs("portal")[0].installation == run.installation
    assert "before capture" not in unfit_run(gather(world.around, "portal"))


@pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)
def test_a_source_of_which_nothing_is_captured_can_be_asked_about(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Project, "captured", lambda *_: [])
    monkeypatch.setattr(Project, "groups", lambda *_: [])
    assert gather(world.around, "portal").installation is None
