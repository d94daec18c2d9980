"""A run as others take it."""

import json
from xml.etree import ElementTree

import msgspec
import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestSuite

from shadow.report import evidence, to_dict, to_junit
from shadow.run import RunResult
from tests.shadow.test_run import A, B, accepted, policies, run
from toolkit.core.evidence import ShadowRun
from toolkit.settings import GateSection


def mixed() -> RunResult:
    return run({**policies(4, A), "X": [A], "T": [A]}, {**policies(4, A), "X": [B], "T": [B, A]})


def test_the_report_is_json_and_says_what_was_found() -> None:
    told = json.loads(json.dumps(to_dict(mixed())))
    assert (told["capability"], told["verdict"]) == ("portal-policy", "findings")
    assert told["counts"] == {"match": 4, "semantic": 1, "temporal": 1}
    assert told["evidence"]["judged"] == 6
    first = told["lines"][0]
    assert (first["title"], first["kind"], first["keys"]) == ("status: a -> b", "semantic", 1)
    assert first["examples"][0] == {
        "key": "X",
        "row": [],
        "legacy": "a",
        "projection": "b",
        "lasted_seconds": 0,
    }


def cases(xml: str) -> tuple[TestSuite, dict[str, list[type]]]:
    (suite,) = JUnitXml.fromstring(xml.encode())
    return suite, {case.name.rsplit(" [", 1)[0]: [type(one) for one in case.result] for case in suite}


def test_junit_has_a_case_for_the_evidence_and_one_for_each_line() -> None:
    suite, found = cases(to_junit(mixed()))
    assert found == {"evidence": [], "semantic status: a -> b": [Failure], "temporal status: a -> b": []}
    assert (suite.name, suite.tests, suite.failures, suite.errors) == ("portal-policy", 3, 1, 0)


def test_junit_skips_what_is_accepted_and_says_by_whom() -> None:
    found = run(policies(5, A), policies(5, B))
    again = run(policies(5, A), policies(5, B), acceptances=accepted(found, 1))
    xml = to_junit(again)
    assert cases(xml)[1]["semantic status: a -> b"] == [Skipped]
    assert "claims" in xml


def test_junit_of_too_little_is_an_error_never_a_pass() -> None:
    result = run(policies(5, A), policies(5, A), gates=GateSection(pairs=300))
    suite, found = cases(to_junit(result))
    assert (found, suite.errors) == ({"evidence": [Error]}, 1)


def test_junit_holds_the_attributes_that_the_usual_schema_asks_for() -> None:
    root = ElementTree.fromstring(to_junit(mixed()))
    assert root.tag == "testsuites"
    for suite in root:
        assert {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"} <= suite.attrib.keys()
        assert int(suite.attrib["tests"]) == len(suite)
        for case in suite:
            assert {"classname", "name", "time"} <= case.attrib.keys()
            assert {one.tag for one in case} <= {"failure", "error", "skipped"}


@pytest.mark.parametrize("value", ["\x00\x0b", "\ud800", "<&\"'>]]>", "\U0001f600"])
def test_any_value_fits_into_xml(value: str) -> None:
    result = run({value: [[{"x": value}]]}, {value: [[{"x": "other"}]]})
    assert cases(to_junit(result))[1]["semantic x: text -> text"] == [Failure]


def test_the_evidence_of_a_run_survives_json_and_judges_by_the_acceptances_of_its_reader() -> None:
    result = mixed()
    saved, discrepancies = evidence(result)
    loaded = msgspec.convert(msgspec.to_builtins(saved), ShadowRun)
    assert loaded == saved
    assert (loaded.summary({}).mismatched, loaded.summary({}).judged) == (1, 6)
    assert [one.kind for one in loaded.findings] == ["semantic"]
    assert loaded.summary(accepted(result, 1)).mismatched == 0
    assert [(one.key, one.kind, one.detail["legacy"]) for one in discrepancies] == [("X", "semantic", "a")]
