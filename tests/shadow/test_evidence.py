"""Evidence is kept as it was found, on every engine."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Engine

from adapters.engines import open_engine
from adapters.state.evidence import EvidenceStore
from migrations.schema.state import metadata
from shadow.report import evidence
from tests.shadow.test_run import A, B, policies, run
from toolkit.core.evidence import Acceptance, Discrepancy, Rehearsal, ShadowRun, Verification, Waiver

NOW = dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
MINE = Acceptance(owner="claims", reason="known since 1998", expires_at=NOW + HOUR)


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    engine = open_engine(url)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine) -> EvidenceStore:
    return EvidenceStore(engine)


def a_run(number: int, ended: dt.datetime = NOW, config_hash: str = "cafe", **changes: object) -> ShadowRun:
    values = {
        "id": f"run-{number}",
        "capability": "portal-policy",
        "config_hash": config_hash,
        "versions": {"customer_policy": 1},
        "started_at": ended - HOUR,
        "ended_at": ended,
        "verdict": "clean",
        "judged": 300,
    }
    return ShadowRun(**values | changes)  # type: ignore[arg-type]


def a_discrepancy(run_id: str, fingerprint: str = "f1", key: str = "P-1") -> Discrepancy:
    return Discrepancy(
        run_id=run_id,
        capability="portal-policy",
        fingerprint=fingerprint,
        key=key,
        kind="semantic",
        path="status",
        detail={"legacy": "a", "projection": None},
    )


def test_a_run_is_read_as_it_was_saved(store: EvidenceStore) -> None:
    saved, discrepancies = evidence(run(policies(3, A), policies(3, B)))
    store.save_run(saved, discrepancies)
    store.save_run(saved, discrepancies)
    assert store.runs("portal-policy") == [saved]
    assert store.discrepancies("portal-policy") == sorted(discrepancies, key=lambda one: one.key)


def test_the_last_run_is_the_latest_under_the_same_configuration(store: EvidenceStore) -> None:
    store.save_run(a_run(1, NOW - 2 * HOUR), [])
    store.save_run(a_run(2, NOW - HOUR), [])
    store.save_run(a_run(3, NOW, config_hash="beef"), [])
    store.save_run(a_run(4, NOW, capability="another"), [])
    found = store.last_run("portal-policy", "cafe", NOW)
    assert found is not None
    assert (found.id, found.versions, found.ended_at) == ("run-2", {"customer_policy": 1}, NOW - HOUR)
    assert store.last_run("portal-policy", "none", NOW) is None
    assert [one.id for one in store.runs("portal-policy", limit=2)] == ["run-3", "run-2"]
    assert {one.id for one in store.runs()} == {"run-1", "run-2", "run-3", "run-4"}


def test_acceptances_apply_to_the_last_run_while_they_are_in_force(store: EvidenceStore) -> None:
    saved, discrepancies = evidence(run(policies(3, A), policies(3, B)))
    store.save_run(saved, discrepancies)
    (finding,) = saved.findings
    store.accept("portal-policy", finding.fingerprint, MINE, NOW)
    now, later = (
        store.last_run("portal-policy", "cafe", NOW),
        store.last_run("portal-policy", "cafe", NOW + HOUR),
    )
    assert now is not None
    assert later is not None
    assert (now.mismatched, now.findings[0].acceptance) == (0, MINE)
    assert (later.mismatched, later.findings[0].acceptance) == (3, None)
    assert store.open_discrepancies("portal-policy", NOW) == []
    assert len(store.open_discrepancies("portal-policy", NOW + HOUR)) == 3


def test_an_acceptance_replaces_the_former_one_and_can_be_withdrawn(store: EvidenceStore) -> None:
    another = Acceptance(owner="billing", reason="ours now", expires_at=NOW + 2 * HOUR)
    store.accept("portal-policy", "f1", MINE, NOW)
    store.accept("portal-policy", "f1", another, NOW)
    store.accept("agent-case", "f1", MINE, NOW)
    assert store.acceptances("portal-policy") == {"f1": another}
    assert store.withdraw("portal-policy", "f1")
    assert not store.withdraw("portal-policy", "f1")
    assert store.acceptances("portal-policy", NOW) == {}
    assert store.acceptances("agent-case", NOW) == {"f1": MINE}


def test_discrepancies_are_those_of_the_latest_run_unless_one_is_named(store: EvidenceStore) -> None:
    store.save_run(a_run(1, NOW - HOUR), [a_discrepancy("run-1"), a_discrepancy("run-1", "f2")])
    store.save_run(a_run(2), [a_discrepancy("run-2", key="P-2")])
    assert [one.key for one in store.discrepancies("portal-policy")] == ["P-2"]
    assert [one.fingerprint for one in store.discrepancies("portal-policy", "run-1")] == ["f1", "f2"]
    assert store.discrepancies("portal-policy", "run-1", "f2") == [a_discrepancy("run-1", "f2")]
    assert store.discrepancies("another") == []


def test_a_key_that_is_too_long_is_cut_and_stays_apart_from_others(store: EvidenceStore) -> None:
    long = [a_discrepancy("run-1", key="x" * 400 + end) for end in ("1", "2")]
    store.save_run(a_run(1), long)
    assert len(store.discrepancies("portal-policy")) == 2


def test_old_runs_go_with_their_discrepancies(store: EvidenceStore) -> None:
    store.save_run(a_run(1, NOW - 2 * HOUR), [a_discrepancy("run-1")])
    store.save_run(a_run(2, NOW), [a_discrepancy("run-2")])
    assert store.prune_runs(NOW - HOUR) == 1
    assert [one.id for one in store.runs()] == ["run-2"]
    assert store.discrepancies("portal-policy", "run-1") == []
    assert store.prune_runs(NOW - HOUR) == 0


def test_the_last_verification_is_that_of_the_version(store: EvidenceStore) -> None:
    def verification(version: int, at: dt.datetime, deterministic: bool = True) -> Verification:
        return Verification(
            projection="customer_policy",
            version=version,
            at=at,
            deterministic=deterministic,
            code_hash="c",
            upcaster_hash="u",
            positions={"insurer.policy_admin/0": 17},
            digest="d",
        )

    for one in (verification(1, NOW), verification(1, NOW - HOUR, False), verification(2, NOW, False)):
        store.save_verification(one)
    assert store.last_verification("customer_policy", 1) == verification(1, NOW)
    assert store.last_verification("customer_policy", 2) == verification(2, NOW, False)
    assert store.last_verification("customer_policy", 3) is None
    drifted = msgspec.structs.replace(verification(2, NOW + HOUR), drifted=True)
    store.save_verification(drifted)
    assert store.last_verification("customer_policy", 2) == drifted
    assert not drifted.holds


def test_the_last_rehearsal_is_that_of_the_consumer(store: EvidenceStore) -> None:
    def rehearsal(consumer: str, at: dt.datetime, passed: bool) -> Rehearsal:
        return Rehearsal(capability="portal-policy", consumer=consumer, at=at, passed=passed, detail="")

    for one in (rehearsal("*", NOW, False), rehearsal("*", NOW, True), rehearsal("app", NOW - HOUR, False)):
        store.save_rehearsal(one)
    assert store.last_rehearsal("portal-policy", "*") == rehearsal("*", NOW, True)
    assert store.last_rehearsal("portal-policy", "app") == rehearsal("app", NOW - HOUR, False)
    assert store.last_rehearsal("portal-policy", "web") is None


def test_a_waiver_replaces_the_former_one_and_is_active_until_it_expires(store: EvidenceStore) -> None:
    def waiver(gate: str, owner: str, expires: dt.datetime) -> Waiver:
        return Waiver(
            capability="claim-cover", gate=gate, owner=owner, reason="agreed in May", expires_at=expires
        )

    store.grant(waiver("authority", "claims", NOW + HOUR), NOW)
    store.grant(waiver("authority", "board", NOW + 2 * HOUR), NOW)
    store.grant(waiver("shadow", "claims", NOW), NOW)
    assert [(one.gate, one.owner) for one in store.waivers("claim-cover")] == [
        ("authority", "board"),
        ("shadow", "claims"),
    ]
    assert [one.gate for one in store.active_waivers("claim-cover", NOW)] == ["authority"]
    assert store.waivers("portal-policy") == []
    assert len(store.waivers()) == 2
