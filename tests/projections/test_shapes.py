"""Shapes of a read model that need no word of their own: joined facts, rows that stay with a flag, every type of value."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from adapters.read_store.sql import SqlReadStore
from tests.support.log import ListArchive, ListLog, as_archive, as_log
from tests.support.read_store import PARTITIONS, SECOND, START, TOPIC, Story
from toolkit.core.events import Catalogue, Context, Event
from toolkit.core.projections import Definition, Projection, on
from toolkit.loops.keeping import Pace
from toolkit.loops.project import Projector
from toolkit.loops.verify import verify
from toolkit.ports import ViewAnswer
from toolkit.router.paths import Asked, doubted, oldest, oldest_by_topic

BROKERS = "insurer.brokers"
context = Context("sales")


@context.event(subject="policy_no", means="The broker looks after the policy.")
class PolicyAssigned(Event):
    policy_no: str
    broker_no: str


@context.event(subject="broker_no", means="The broker is called so.")
class BrokerNamed(Event):
    broker_no: str
    name: str


class PolicyList(Projection, version=1, context="sales", key="policy_no", indexes=["broker_no"]):
    policy_no: str
    broker_no: str

    @on(PolicyAssigned, creates=True)
    def assigned(self, event: PolicyAssigned) -> None:
        self.broker_no = event.broker_no


class BrokerName(Projection, version=1, context="sales", key="broker_no"):
    broker_no: str
    name: str

    @on(BrokerNamed, creates=True)
    def named(self, event: BrokerNamed) -> None:
        if not event.name:
            raise ValueError("a broker has a name")
        self.name = event.name


@context.event(subject="item", means="The item is described so.")
class ItemDescribed(Event):
    item: str
    price: Decimal
    made_on: dt.date
    sold_at: dt.datetime
    details: dict[str, Any]
    manual: str


@context.event(subject="item", means="The item is sold no more.")
class ItemWithdrawn(Event):
    item: str


class Item(Projection, version=1, context="sales", key="item", indexes=["withdrawn"]):
    item: str
    price: Decimal
    made_on: dt.date
    sold_at: dt.datetime
    details: dict[str, Any]
    manual: str
    withdrawn: bool = False

    @on(ItemDescribed, creates=True)
    def described(self, event: ItemDescribed) -> None:
        self.price, self.made_on, self.sold_at = event.price, event.made_on, event.sold_at
        self.details, self.manual = event.details, event.manual
        self.withdrawn = False

    @on(ItemWithdrawn)
    def went(self, event: ItemWithdrawn) -> None:
        self.withdrawn = True


CATALOGUE = Catalogue.of([context])
POLICIES, NAMES, ITEMS = PolicyList.definition, BrokerName.definition, Item.definition
JOINED = """
SELECT p.policy_no, p.broker_no, COALESCE(b.name, 'not known') AS broker
FROM policy_list p LEFT JOIN broker_name b ON b.broker_no = p.broker_no
ORDER BY p.policy_no
"""


class Shop:
    """A log, and projectors that read it when they are told to."""

    def __init__(self, store: SqlReadStore) -> None:
        self.store = store
        topics = {TOPIC: PARTITIONS, BROKERS: PARTITIONS}
        self.log = ListLog(topics)
        self.stories = {topic: Story(topic=topic, catalogue=CATALOGUE) for topic in topics}
        self.running: dict[str, Projector] = {}

    def happen(self, *events: Event) -> None:
        for event in events:
            topic = BROKERS if isinstance(event, BrokerNamed) else TOPIC
            self.log.put(topic, *self.stories[topic].tell(event))

    def project(self, definition: Definition, topic: str = TOPIC) -> None:
        if definition.name not in self.running:
            self.running[definition.name] = Projector(
                definition,
                CATALOGUE,
                self.store,
                as_log(self.log),
                {topic: PARTITIONS},
                clock,
                Pace(patience=0),
            )
            self.running[definition.name].start()
        while self.running[definition.name].advance(50).deliveries:
            pass

    def joined(self) -> ViewAnswer:
        projections = ["policy_list", "broker_name"]
        return self.store.query(JOINED, {}, projections=projections, timeout=5 * SECOND)


def clock() -> dt.datetime:
    return START


@pytest.fixture
def shop(sql_store: SqlReadStore) -> Iterator[Shop]:
    made = Shop(sql_store)
    yield made
    for one in made.running.values():
        one.close()


FACTS: list[Event] = [
    BrokerNamed(broker_no="B-1", name="Weber"),
    PolicyAssigned(policy_no="P-1", broker_no="B-1"),
    PolicyAssigned(policy_no="P-2", broker_no="B-1"),
]


ORDERS = [FACTS, FACTS[::-1], [FACTS[1], FACTS[0], FACTS[2]]]


@pytest.mark.parametrize(
    "facts", ORDERS, ids=lambda facts: " then ".join(type(one).__name__ for one in facts)
)
def test_a_renamed_broker_is_renamed_in_all_his_policies_whatever_comes_first(
    shop: Shop, facts: list[Event]
) -> None:
    shop.happen(*facts, PolicyAssigned(policy_no="P-3", broker_no="B-9"))
    shop.project(POLICIES)
    shop.project(NAMES, BROKERS)
    assert [row["broker"] for row in shop.joined().rows] == ["Weber", "Weber", "not known"]
    shop.happen(BrokerNamed(broker_no="B-1", name="Weber & Daughter"))
    assert shop.running["broker_name"].advance().applied == 1, "one row, however many policies he has"
    assert [row["broker"] for row in shop.joined().rows] == [
        "Weber & Daughter",
        "Weber & Daughter",
        "not known",
    ]


def test_a_joined_answer_is_as_old_as_the_older_of_both(shop: Shop) -> None:
    shop.happen(*FACTS)
    shop.log.mark(TOPIC, START + 9 * SECOND)
    shop.log.mark(BROKERS, START + 3 * SECOND)
    shop.project(POLICIES)
    shop.project(NAMES, BROKERS)

    def as_of() -> dt.datetime | None:
        checkpoints = [one for some in shop.joined().checkpoints.values() for one in some]
        return oldest(oldest_by_topic(checkpoints).values())

    assert as_of() == START + 3 * SECOND
    shop.log.mark(BROKERS, START + 20 * SECOND)
    shop.project(NAMES, BROKERS)
    assert as_of() == START + 9 * SECOND


def test_a_name_that_is_held_back_makes_the_rows_that_show_it_doubtful_and_no_other(shop: Shop) -> None:
    shop.happen(
        *FACTS, PolicyAssigned(policy_no="P-3", broker_no="B-9"), BrokerNamed(broker_no="B-1", name="")
    )
    shop.project(POLICIES)
    shop.project(NAMES, BROKERS)
    answer = shop.joined()
    assert answer.held == {"policy_list": [], "broker_name": ["B-1"]}
    doubts = {
        str(row["policy_no"]): doubted(
            NAMES, Asked(key={"policy_no": row["policy_no"]}, parameters={}, subject=""), [row], ["B-1"]
        )
        for row in answer.rows
    }
    assert doubts == {"P-1": ["B-1"], "P-2": ["B-1"], "P-3": []}


VIENNA = dt.timezone(dt.timedelta(hours=2))
MANUAL = "Ünïcödé \U0001f4d6 'quoted' \\ %s\t\r\n" * 40_000


def item(name: str = "I-1", **values: Any) -> ItemDescribed:
    given: dict[str, Any] = {
        "price": Decimal("12345678901234567890.10"),
        "made_on": dt.date(1999, 12, 31),
        "sold_at": dt.datetime(2024, 7, 1, 0, 30, 0, 123456, tzinfo=VIENNA),
        "details": {"sizes": [1, 2.5, None, "x"], "of": {"deep": [{"er": True}]}, "empty": []},
        "manual": "short",
    }
    return ItemDescribed(item=name, **{**given, **values})


def test_every_type_of_value_comes_back_as_it_was_told(shop: Shop) -> None:
    shop.happen(item(), item("I-2", manual=MANUAL, price=Decimal("-0.0100"), details={}))
    shop.project(ITEMS)
    first, second = shop.store.rows(ITEMS, None, 9)
    assert first == {
        "item": "I-1",
        "price": Decimal("12345678901234567890.10"),
        "made_on": dt.date(1999, 12, 31),
        "sold_at": dt.datetime(2024, 6, 30, 22, 30, 0, 123456, tzinfo=dt.UTC),
        "details": {"sizes": [1, 2.5, None, "x"], "of": {"deep": [{"er": True}]}, "empty": []},
        "manual": "short",
        "withdrawn": False,
    }
    assert (str(first["price"]), str(second["price"])) == ("12345678901234567890.10", "-0.0100")
    assert len(MANUAL.encode()) > 1_000_000
    assert second["manual"] == MANUAL
    asked = "SELECT sold_at, made_on, details, manual FROM item WHERE item = :item"
    (read,) = shop.store.query(asked, {"item": "I-2"}, projections=["item"], timeout=5 * SECOND).rows
    assert read == {name: second[name] for name in read}
    archive = as_archive(ListArchive(TOPIC, shop.stories[TOPIC].records))
    assert verify(ITEMS, CATALOGUE, shop.store, archive, clock).findings == ()


def test_a_row_that_is_deleted_softly_stays_and_is_found_no_more(shop: Shop) -> None:
    shop.happen(item(), item("I-2"), ItemWithdrawn(item="I-1"))
    shop.project(ITEMS)
    found = "SELECT item FROM item WHERE NOT withdrawn ORDER BY item"

    def sold() -> list[object]:
        rows = shop.store.query(found, {}, projections=["item"], timeout=5 * SECOND).rows
        return [row["item"] for row in rows]

    assert sold() == ["I-2"]
    kept = shop.store.load(ITEMS, ["I-1"])["I-1"]
    assert (kept["withdrawn"], kept["price"]) == (True, item().price)
    shop.happen(item())
    shop.project(ITEMS)
    assert sold() == ["I-1", "I-2"]
