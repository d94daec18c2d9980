"""A handler is a pure function of (row, event): seen in its source, before anything runs."""

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest

from examples.insurer.project import projections as insurer
from tests.projections import impure
from tests.support.read_store import BOOK, POLICY, PolicyIssued
from toolkit import Context
from toolkit.core.events import Catalogue
from toolkit.core.projections import Projection
from toolkit.loops.purity import impure_steps, impurities
from toolkit.loops.verify import upcaster_hash


def told(projection: type[Projection]) -> list[str]:
    return [f"{fault.what} | {fault.next}" for fault in impurities(projection.definition)]


@pytest.mark.parametrize(
    ("projection", "says"),
    [
        (impure.Clock, ["dt.datetime.now", "clock.time", "dt.date.today"]),
        (impure.Chance, ["uuid4", "random.random"]),
        (impure.Outside, ["os.environ", "Path"]),
        (impure.Remembers, ["SEEN.append", "CODES[event.policy_no]"]),
        (impure.Order, ["list(...) over a set", "the order of the set REGIONS"]),
        (impure.Floats, ["float |", "the float 1.1"]),
    ],
)
def test_what_is_not_pure_is_named(projection: type[Projection], says: list[str]) -> None:
    found = told(projection)
    assert len(found) == len(says), found
    for expected in says:
        assert any(one.startswith(expected) for one in found), (expected, found)


def test_a_finding_says_file_and_line_and_what_to_do_instead() -> None:
    lines = Path(impure.__file__).read_text().splitlines()
    found = impurities(impure.Chance.definition)
    for fault in found:
        file, line = fault.where.rsplit(":", 1)
        assert file.endswith("tests/projections/impure.py")
        assert fault.what in lines[int(line) - 1]
        assert fault.next


def test_what_a_handler_may_well_do_is_not_found() -> None:
    assert told(impure.Pure) == []
    assert impurities(POLICY) == []
    assert impurities(BOOK) == []


def test_the_insurers_projections_are_pure() -> None:
    projections = [
        one for one in vars(insurer).values() if isinstance(one, type) and issubclass(one, Projection)
    ]
    found = {one.__name__: told(one) for one in projections if one is not Projection}
    assert len(found) > 3
    assert not any(found.values()), found


def today_by_default(data: dict[str, Any]) -> dict[str, object]:
    return {**data, "on": dt.date.today().isoformat()}  # noqa: DTZ011


def somewhere(event: PolicyIssued) -> PolicyIssued:
    return PolicyIssued(policy_no=event.policy_no, broker=os.environ["REGION"], premium=event.premium)


def test_upcasters_and_mappings_are_looked_at_too() -> None:
    context = Context("policies")
    context.event(subject="policy_no", version=2, meaning=2, means="Cover was agreed.")(PolicyIssued)
    context.upcast(PolicyIssued, from_version=1)(today_by_default)
    context.mapping(PolicyIssued, from_meaning=1, to_meaning=2, loses="the tax")(somewhere)
    found = [fault.what for kind in context.types for fault in impure_steps(kind)]
    assert found == ["dt.date.today", "os.environ"]
    before = impure.Pure.definition
    catalogue = Catalogue.of([context])
    pure = Context("policies")
    pure.event(subject="policy_no", version=2, meaning=2, means="Cover was agreed.")(PolicyIssued)
    assert upcaster_hash(before, catalogue) != upcaster_hash(before, Catalogue.of([pure]))
