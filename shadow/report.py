"""A run's result as others take it: a dict for JSON, JUnit XML for a build server, evidence for the store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from shadow.ledger import Example, Line
from shadow.run import RunResult, RunVerdict
from toolkit.core.evidence import Discrepancy, Finding, ShadowRun

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_dict(result: RunResult) -> dict[str, object]:
    """The result in JSON types: what `--json` prints and the store keeps."""
    proof = result.proof
    return {
        "run": result.id,
        "capability": result.capability,
        "verdict": result.verdict.value,
        "config_hash": result.config_hash,
        "versions": dict(result.versions),
        "started_at": result.started_at.isoformat(),
        "ended_at": result.ended_at.isoformat(),
        "seconds": round(result.seconds, 3),
        "stopped": result.stopped,
        "cause": result.cause,
        "notes": list(result.notes),
        "keys": {"known": result.known, "asked": result.asked},
        "counts": {str(name): number for name, number in sorted(result.counts.items())},
        "evidence": {
            "judged": proof.judged,
            "mismatched": proof.mismatched,
            "mismatch_rate_below": proof.bound,
            "proven": proof.proven.value,
            "pairs_missing": proof.needed,
        },
        "errors": {"projection": result.errors, "legacy": result.legacy_errors},
        "lines": [_line(line) for line in result.lines],
    }


def _line(line: Line) -> dict[str, object]:
    accepted = line.acceptance
    return {
        "fingerprint": line.fingerprint,
        "kind": line.kind.value,
        "path": line.path,
        "title": line.title,
        "keys": line.keys,
        "finding": line.finding,
        "rule": line.rule,
        "declared": line.declared,
        "lost_at": line.stage,
        "lasted_seconds": round(line.lasted, 3),
        "healed_within_seconds": round(line.healed_within, 3),
        "examples": [_example(one) for one in line.examples],
        "accepted": None
        if accepted is None
        else {
            "owner": accepted.owner,
            "reason": accepted.reason,
            "expires_at": accepted.expires_at.isoformat(),
        },
    }


def _example(example: Example) -> dict[str, object]:
    return {
        "key": example.key,
        "row": list(example.row),
        "legacy": example.legacy,
        "projection": example.projection,
        "lasted_seconds": round(example.lasted, 3),
    }


def evidence(result: RunResult) -> tuple[ShadowRun, list[Discrepancy]]:
    """The result as the evidence store keeps it. Lines that are only told are in the report alone."""
    told = [line for line in result.lines if line.finding]
    run = ShadowRun(
        id=result.id,
        capability=result.capability,
        config_hash=result.config_hash,
        versions=dict(result.versions),
        started_at=result.started_at,
        ended_at=result.ended_at,
        verdict=result.verdict.value,
        judged=result.proof.judged,
        errors=result.errors,
        legacy_errors=result.legacy_errors,
        confirmed=tuple(result.confirmed.items()),
        findings=tuple(
            Finding(fingerprint=line.fingerprint, kind=line.kind.value, path=line.path, keys=line.keys)
            for line in told
        ),
        report=to_dict(result),
        installation=result.installation,
    )
    return run, [one for line in told for one in _discrepancies(result, line)]


def _discrepancies(result: RunResult, line: Line) -> list[Discrepancy]:
    return [
        Discrepancy(
            run_id=result.id,
            capability=result.capability,
            fingerprint=line.fingerprint,
            key=example.key,
            kind=line.kind.value,
            path=line.path,
            detail={"title": line.title, "rule": line.rule, "lost_at": line.stage, **_example(example)},
        )
        for example in line.examples
    ]


def to_junit(result: RunResult) -> str:
    """JUnit XML: a case for the evidence, and one for each line. A finding fails, an accepted one is skipped."""
    cases = [_evidence_case(result), *(_line_case(result, line) for line in result.lines)]
    counted = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": f"{result.seconds:.3f}",
    }
    suites = _element("testsuites", {"name": "strangler shadow", **counted})
    stamp = result.started_at.replace(tzinfo=None).isoformat(timespec="seconds")
    suite = _element("testsuite", {"name": result.capability, "timestamp": stamp, **counted})
    suites.append(suite)
    suite.extend(cases)
    ElementTree.indent(suites)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
    )


def _evidence_case(result: RunResult) -> ElementTree.Element:
    case = _case(result, "evidence")
    proof = result.proof
    if result.verdict is RunVerdict.INSUFFICIENT:
        counts = ", ".join(f"{number} {name}" for name, number in sorted(result.counts.items())) or "no pairs"
        message = f"insufficient: {proof.judged} pairs judged, {proof.needed} more are needed ({counts})"
        case.append(_element("error", {"message": message, "type": "insufficient"}))
    return case


def _line_case(result: RunResult, line: Line) -> ElementTree.Element:
    case = _case(result, f"{line.kind.value} {line.title} [{line.fingerprint}]")
    if line.fails:
        message = f"{line.keys} keys: {line.title}"
        failure = _element("failure", {"message": message, "type": line.kind.value})
        failure.text = _clean("\n".join(_sentence(one) for one in line.examples))
        case.append(failure)
    elif line.finding and line.acceptance is not None:
        one = line.acceptance
        message = f"accepted by {one.owner} until {one.expires_at.isoformat()}: {one.reason}"
        case.append(_element("skipped", {"message": message}))
    return case


def _sentence(example: Example) -> str:
    row = f" row {', '.join(str(part) for part in example.row)}" if example.row else ""
    return f"{example.key}{row}: legacy {example.legacy!r}, projection {example.projection!r}"


def _case(result: RunResult, name: str) -> ElementTree.Element:
    return _element("testcase", {"classname": f"shadow.{result.capability}", "name": name, "time": "0.000"})


def _element(tag: str, attributes: Mapping[str, str]) -> ElementTree.Element:
    return ElementTree.Element(tag, {name: _clean(value) for name, value in attributes.items()})


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
