"""Many partitions in one order, and transactions whole: the part that can be judged without a broker."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.legacy.debezium.envelope import Boundary, InTransaction, RowChanged
from adapters.legacy.debezium.merge import Item, Merge, Partition, Transactions
from adapters.legacy.debezium.source import Source
from toolkit.core.changes import Op

META: Partition = ("meta", 0)


def item(topic: str, offset: int, place: int, transaction: str = "", order: int = 0) -> Item:
    found = RowChanged(
        op=Op.INSERT,
        before=None,
        after={},
        key={"ID": offset},
        source=Source(),
        transaction=InTransaction(id=transaction, order=order) if transaction else None,
    )
    return Item(at=(topic, 0), offset=offset, found=found, order=(f"{place:09}",))


def places(items: Sequence[Item]) -> list[int]:
    return [int(one.order[0]) for one in items]


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 7), st.randoms(use_true_random=False))
def test_whatever_is_read_first_the_source_decides_the_order(
    homes: list[int], limit: int, random: object
) -> None:
    """Messages of one source in four partitions, read piece by piece in any order."""
    every = {(f"t{number}", 0) for number in range(4)}
    unread: dict[Partition, list[Item]] = {at: [] for at in every}
    for place, home in enumerate(homes):
        at = (f"t{home}", 0)
        unread[at].append(item(at[0], len(unread[at]), place))
    merge, taken = Merge(), []
    while any(unread.values()) or merge.heads():
        at = random.choice(sorted(every))  # type: ignore[attr-defined]
        for _ in range(random.randint(0, 3)):  # type: ignore[attr-defined]
            if unread[at]:
                merge.add(unread[at].pop(0))
        taken += merge.take(limit, lambda one: not unread[one], every)
    assert places(taken) == list(range(len(homes)))


def test_within_a_partition_nothing_is_moved() -> None:
    merge = Merge()
    for offset, place in enumerate([5, 3, 9]):  # sent again after a crash
        merge.add(item("a", offset, place))
    merge.add(item("b", 0, 4))
    assert places(merge.take(9, lambda _: True, [("a", 0), ("b", 0)])) == [4, 5, 3, 9]


# --- transactions ---------------------------------------------------------------------------------


class Meta:
    def __init__(self) -> None:
        self.merge = Merge()
        self.transactions = Transactions(self.merge, self.count, lambda: [("a", 0), ("b", 0)])
        self.done: set[str] = set()
        self._offset = 0

    @staticmethod
    def count(collections: Mapping[str, int]) -> int:
        return sum(count for name, count in collections.items() if name in ("a", "b"))

    def begin(self, id_: str) -> None:
        self._tell(Boundary(id=id_, ended=False))

    def end(self, id_: str, **counts: int) -> None:
        self._tell(Boundary(id=id_, ended=True, events=sum(counts.values()), collections=counts))

    def _tell(self, found: Boundary) -> None:
        self.transactions.add(Item(at=META, offset=self._offset, found=found))
        self._offset += 1

    def take(self) -> list[tuple[int, bool]]:
        taken, ended = self.transactions.take(100, self.done.__contains__)
        self.done.update(ended)
        return [(int(one.order[0]), one.whole) for one in taken]


@pytest.fixture
def meta() -> Meta:
    return Meta()


def test_a_transaction_waits_for_all_its_changes_in_all_topics(meta: Meta) -> None:
    meta.begin("1")
    meta.merge.add(item("a", 0, 1, "1", 1))
    meta.end("1", a=1, b=1, elsewhere=7)
    assert meta.take() == []
    assert meta.transactions.first(META) == 0
    meta.merge.add(item("b", 0, 2, "1", 2))
    assert meta.take() == [(1, True), (2, True)]
    assert meta.transactions.first(META) is None
    assert meta.transactions.broken == []


def test_transactions_come_in_the_order_of_their_ends(meta: Meta) -> None:
    for number, topic in (("1", "b"), ("2", "a")):
        meta.begin(number)
        meta.end(number, **{topic: 1})
    meta.merge.add(item("a", 0, 1, "2", 1))
    assert meta.take() == []
    meta.merge.add(item("b", 0, 5, "1", 1))
    assert meta.take() == [(5, True), (1, True)]


def test_what_has_no_transaction_goes_as_it_comes(meta: Meta) -> None:
    meta.merge.add(item("a", 0, 2))
    meta.merge.add(item("b", 0, 1))
    meta.merge.add(item("a", 1, 3, "1", 1))
    assert meta.take() == [(1, False), (2, False)]


def test_a_part_that_is_sent_again_does_not_make_a_transaction_whole(meta: Meta) -> None:
    meta.begin("1")
    meta.merge.add(item("a", 0, 1, "1", 1))
    meta.begin("1")
    meta.merge.add(item("a", 1, 1, "1", 1))
    meta.end("1", a=2)
    assert meta.take() == []
    meta.merge.add(item("a", 2, 2, "1", 2))
    assert meta.take() == [(1, True), (1, True), (2, True)]  # the place is dropped the second time


def test_a_transaction_that_is_sent_again_whole_holds_nothing_up(meta: Meta) -> None:
    meta.begin("1")
    meta.merge.add(item("a", 0, 1, "1", 1))
    meta.end("1", a=1)
    assert meta.take() == [(1, True)]
    meta.begin("1")
    meta.end("1", a=1)
    meta.begin("2")
    meta.end("2", a=1)
    meta.merge.add(item("a", 1, 1, "1", 1))
    meta.merge.add(item("a", 2, 2, "2", 1))
    assert [place for place, _ in meta.take()] == [1, 2]
    assert meta.transactions.broken == []


def test_one_that_began_before_we_did_is_not_waited_for(meta: Meta) -> None:
    meta.merge.add(item("a", 0, 1, "1", 4))
    meta.end("1", a=2, b=2)
    assert meta.take() == [(1, False)]
    assert meta.transactions.broken == ["1"]


def test_one_whose_changes_a_transform_took_away_is_passed_when_later_ones_stand_everywhere(
    meta: Meta,
) -> None:
    for number in ("1", "2"):
        meta.begin(number)
        meta.end(number, a=1, b=1)
    meta.merge.add(item("a", 0, 1, "1", 1))
    meta.merge.add(item("a", 1, 2, "2", 1))
    assert meta.take() == []
    meta.merge.add(item("b", 0, 3, "2", 2))
    assert meta.take() == [(1, False), (2, True), (3, True)]
    assert meta.transactions.broken == ["1"]


def test_one_whose_end_was_lost_is_passed_when_a_later_end_is_there(meta: Meta) -> None:
    meta.merge.add(item("a", 0, 1, "1", 1))
    assert meta.take() == []
    meta.merge.add(item("a", 1, 2, "2", 1))
    meta.begin("2")
    meta.end("2", a=1)
    assert meta.take() == [(1, False), (2, True)]
