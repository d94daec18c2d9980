"""What the admin client does not ask again by itself: a partition without a leader for a moment."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from adapters.kafka import Cluster
from toolkit.core.errors import Infrastructure


class _Admin:
    """Answers with these codes, one after the other, and then with offset 7."""

    def __init__(self, *codes: int) -> None:
        self._codes = list(codes)

    def list_offsets(
        self, asked: dict[TopicPartition, Any], **_: object
    ) -> dict[TopicPartition, Future[Any]]:
        answer: Future[Any] = Future()
        if self._codes:
            answer.set_exception(KafkaException(KafkaError(self._codes.pop(0))))
        else:
            answer.set_result(SimpleNamespace(offset=7))
        return dict.fromkeys(asked, answer)


def ends(*codes: int) -> dict[tuple[str, int], int]:
    cluster = Cluster({"bootstrap.servers": "localhost:1"}, 3.0, "[log.settings]")
    setattr(cluster, "admin", _Admin(*codes))  # noqa: B010 - another class than the driver's
    return cluster.ends_of([("policy", 0)])


def test_a_partition_that_gets_its_leader_back_is_asked_again() -> None:
    assert ends(KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.LEADER_NOT_AVAILABLE) == {("policy", 0): 7}


def test_a_refusal_is_told_at_once() -> None:
    with pytest.raises(Infrastructure, match=r"does not tell its offsets.*TOPIC_AUTHORIZATION"):
        ends(KafkaError.TOPIC_AUTHORIZATION_FAILED)


def test_an_outage_that_lasts_is_told_in_the_end() -> None:
    with pytest.raises(Infrastructure, match="LEADER_NOT_AVAILABLE"):
        ends(*[KafkaError.LEADER_NOT_AVAILABLE] * 50)
