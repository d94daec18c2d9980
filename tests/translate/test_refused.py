"""What the log or the archive would refuse waits before it draws a sequence: it holds its subject, and nobody else (R6)."""

from __future__ import annotations

import pytest

from tests.support.legacy import hold, policy
from tests.support.state import draft
from tests.translate.world import World
from toolkit.core import cloudevents
from toolkit.core.records import Record, keepable

ROOMY, NARROW = 100_000, 700
"""Bytes: of an ordinary event with its attributes there are about 500."""


@pytest.fixture
def streaming(world: World) -> World:
    world.skip_backfill()
    return world


def test_an_event_that_the_log_would_refuse_parks_its_subject_and_all_else_goes_on(
    streaming: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = cloudevents.size
    monkeypatch.setattr("toolkit.loops.translate._ATTRIBUTES", ROOMY)  # everything is measured
    large = "P0001"
    monkeypatch.setattr(
        "toolkit.loops.translate.size",
        lambda made: ROOMY if made.envelope.subject == large else size(made),
    )
    streaming.legacy.run(policy(1), policy(2))
    streaming.legacy.run(hold(1, of=1), hold(2, of=2))
    streaming.drain(streaming.translation(largest=NARROW))
    assert (streaming.types("P0001"), streaming.types("P0002")) == ([], ["PolicyStated", "HoldPlaced"])
    first, second = streaming.archive.parked("policy_admin")
    assert "PolicyStated takes 100,000 bytes, and the log takes 700: raise the topic's" in first.reason
    assert (first.held, second.held) == (False, True)
    last = streaming.archive.last_sequences("test.policies")
    assert sum(last.values()) == 2, "no sequence was drawn for what waits"


def test_once_the_log_takes_more_the_replay_gives_all_in_order(streaming: World) -> None:
    streaming.legacy.run(policy(1))
    streaming.legacy.run(hold(1, of=1))
    streaming.drain(streaming.translation(largest=100))
    assert (streaming.types("P0001"), len(streaming.archive.parked("policy_admin"))) == ([], 2)
    raised = streaming.translation(largest=ROOMY)
    assert raised.replay(streaming.epoch).events == 2
    assert streaming.types("P0001") == ["PolicyStated", "HoldPlaced"]
    assert streaming.archive.parked("policy_admin") == []


def test_the_limit_is_asked_again_for_each_replay(streaming: World) -> None:
    limits = [100, ROOMY]
    translation = streaming.translation()
    translation._largest = lambda: limits.pop(0)
    streaming.legacy.run(policy(1))
    assert translation.step(streaming.epoch, 10).parked == 1
    assert translation.replay(streaming.epoch).events == 1


@pytest.mark.parametrize("subject", ["P-1", 'Größe "1" \\ \n 保', "\U0001f4c4" * 300, "x" * 5000])
def test_the_size_is_what_the_record_takes(subject: str) -> None:
    one = draft(1, subject)
    record = Record(envelope=one.envelope, data=one.data, partition=0, sequence=7)
    told = cloudevents.to_json(cloudevents.of_record(record))
    assert abs(cloudevents.size(one) - len(told) - len(subject.encode())) < 10


@pytest.mark.parametrize(
    ("subject", "kept"),
    [("P-1", True), ("Größe 保", True), ("", True), ("P\x001", False), ("P\ud800", False)],
)
def test_a_subject_that_some_archive_cannot_keep_is_known(subject: str, kept: bool) -> None:
    assert keepable(subject) is kept
