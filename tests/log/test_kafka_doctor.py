"""What ails topics: asked of a real broker where one broker can have the ailment, judged from figures where it cannot."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from adapters.log.kafka import KafkaLog
from adapters.log.kafka_doctor import Topic, ailments, brokers
from toolkit.core.ailments import Ailment, Severity
from toolkit.diagnosis import Patient
from toolkit.questions.doctor import run
from toolkit.questions.doctor.flowing import topics

SOUND: dict[str, Any] = {
    "name": "t",
    "replicas": [3, 3],
    "in_sync": [3, 3],
    "leaderless": 0,
    "settings": {"cleanup.policy": "delete", "min.insync.replicas": "2", "retention.ms": "604800000"},
}


def judged(sent: dict[str, str] | None = None, **other: Any) -> list[Ailment]:
    settings = {**SOUND["settings"], **other.pop("settings", {})}
    return list(ailments(Topic(**{**SOUND, "settings": settings, **other}), sent or {}))


def test_a_sound_topic_gives_none() -> None:
    assert judged() == []


@pytest.mark.parametrize(
    ("other", "words", "severity"),
    [
        ({"replicas": [1], "in_sync": [1]}, "it has one replica", Severity.RISK),
        ({"settings": {"min.insync.replicas": "1"}}, "min.insync.replicas is 1", Severity.RISK),
        ({"settings": {"min.insync.replicas": "3"}}, "one broker that restarts stops", Severity.RISK),
        ({"in_sync": [3, 2]}, "not in sync", Severity.RISK),
        ({"leaderless": 1}, "1 of its partitions have no leader", Severity.BROKEN),
        ({"settings": {"cleanup.policy": "compact,delete"}}, "it is compacted", Severity.BROKEN),
        ({"settings": {"retention.ms": "3600000"}}, "keeps events for 1.0 hours", Severity.RISK),
        ({"settings": {"retention.bytes": "1000"}}, "drops events by size", Severity.HINT),
        ({"settings": {"max.message.bytes": "1000"}}, "takes messages of 1000 bytes", Severity.RISK),
    ],
)
def test_each_ailment_is_told(other: dict[str, Any], words: str, severity: Severity) -> None:
    (one,) = judged(**other)
    assert words in one.what
    assert one.severity is severity
    assert one.next


def test_a_producer_that_may_send_more_than_the_topic_takes_is_told() -> None:
    limit = {"max.message.bytes": "2000000"}
    assert judged(settings=limit) == []
    assert (
        judged({"message.max.bytes": "5000000"}, settings=limit)[0].evidence["message.max.bytes"] == 5000000
    )


def test_brokers_that_make_topics_unasked_are_a_hint() -> None:
    assert [one.severity for one in brokers({"auto.create.topics.enable": "true"})] == [Severity.HINT]
    assert not list(brokers({"auto.create.topics.enable": "false"}))


def test_a_real_broker_tells_what_a_topic_is_like(kafka_bootstrap: str, topic_name: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    config = {"cleanup.policy": "compact", "retention.ms": "60000", "max.message.bytes": "2000"}
    admin.create_topics([NewTopic(topic_name, 2, 1, config=config)])[topic_name].result()
    result = run(KafkaLog(kafka_bootstrap).checks(Patient(where="log", own=(topic_name,))))
    told = " ".join(one.what for one in result.findings)
    for words in (
        "it is compacted",
        "it has one replica",
        "keeps events for",
        "takes messages of 2000 bytes",
    ):
        assert words in told
    assert len(result.findings) == 4
    assert {one.where for one in result.findings} == {f"topic {topic_name}"}


def test_a_topic_with_other_partitions_or_none_at_all_is_told(kafka_bootstrap: str, topic_name: str) -> None:
    log = KafkaLog(kafka_bootstrap)
    (missing,) = topics(log, topic_name, 3)
    assert missing.next == "strangler setup"
    log.create(topic_name, 2)
    (other,) = topics(log, topic_name, 3)
    assert other.evidence == {"partitions": 2, "asked": 3}
    assert not list(topics(log, topic_name, 2))


def test_brokers_that_are_not_there_are_unreachable() -> None:
    nobody = KafkaLog("127.0.0.1:1", answer=dt.timedelta(seconds=1))
    result = run(nobody.checks(Patient(where="log", own=("t",))))
    assert (result.unreachable, result.ending) == (["log"], 3)
