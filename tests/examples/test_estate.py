"""The insurer's legacy estate: the same history for the same seed, sound at any time, and reads that mean what they say."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, text

from examples.insurer.estate import business, checks, codes, store
from examples.insurer.estate.generate import generate, main
from examples.insurer.estate.writer import LiveWriter

SQL = Path(__file__).parents[2] / "examples/insurer/project/sql"
CAPABILITIES = ("portal_policy", "agent_case", "broker_portfolio", "compliance_queue", "claim_cover")
TODAY = 20260630
STAMP = "2026-06-01 10:00:00.000000"
Reader = Callable[[str, str], list[dict[str, Any]]]


@pytest.fixture(params=["sqlite", "postgresql"])
def estate_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database on each engine; PostgreSQL where the suite provides it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'legacy.db'}"
    try:
        return str(request.getfixturevalue("postgres_url"))
    except pytest.FixtureLookupError:
        pytest.skip("no postgres_url fixture")


@pytest.fixture
def estate(estate_url: str) -> Iterator[Engine]:
    """A generated estate of 300 policies."""
    generate(estate_url, size=300, seed=3)
    engine = store.open_engine(estate_url, writes=True)
    yield engine
    engine.dispose()


def read(engine: Engine, capability: str, key: str, today: Any = TODAY) -> list[dict[str, Any]]:
    """A capability's legacy answer."""
    name = {"broker_portfolio": "broker_code", "claim_cover": "claim_no"}.get(capability, "policy_no")
    statement = text((SQL / f"{capability}.legacy.sql").read_text())
    with engine.connect() as connection:
        rows = connection.execute(statement, {name: key, "today": today})
        return [dict(row._mapping) for row in rows]


def put(engine: Engine, table: str, *row: Any) -> None:
    """Insert one legacy row."""
    with engine.begin() as connection:
        business.insert(connection, table, row)


def policy(
    engine: Engine, number: int, status: str, eff: int, exp: int, can: int | None = None, **more: Any
) -> str:
    """A hand-made policy; returns its trimmed number."""
    key = codes.policy_key(number)
    row = (
        key,
        more.get("owner", codes.customer_key(1)),
        more.get("broker"),
        more.get("product", "MOT1"),
        status,
    )
    reason = more.get("reason", "CR" if can else None)
    renewals = more.get("renewals", 0)
    put(
        engine,
        "POLMAST",
        *row,
        more.get("cents", 12_050),
        min(eff, TODAY),
        eff,
        exp,
        can,
        reason,
        renewals,
        STAMP,
    )
    return key.strip()


def hold(engine: Engine, key: str, seq: int, kind: str, released: int | None = None, **more: Any) -> None:
    """A hand-made hold."""
    review = more.get("review", "O") if kind == "C" else None
    put(
        engine,
        "POLHOLD",
        key.ljust(12),
        seq,
        kind,
        20260601,
        released,
        more.get("reason", "NP"),
        review,
        STAMP,
    )


def test_the_same_seed_makes_the_same_estate(tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        url = f"sqlite:///{tmp_path / name}.db"
        generate(url, size=1500, seed=seed)
        digests.append(checks.digest(store.open_engine(url)))
    assert digests[0] == digests[1] != digests[2]


def test_both_engines_get_the_same_rows(estate: Engine, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    generate(url, size=300, seed=3)
    assert checks.digest(estate) == checks.digest(store.open_engine(url))


def test_an_estate_is_not_overwritten_by_accident(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'legacy.db'}"
    assert main([url, "--size", "20"]) == 0
    assert main([url, "--size", "30"]) == 2
    assert main([url, "--size", "30", "--replace"]) == 0
    assert "POLMAST          30" in capsys.readouterr().out


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("today", [codes.BUSINESS_DATE, date(2024, 2, 29), date(2027, 1, 1)])
def test_generated_history_is_sound(tmp_path: Path, seed: int, today: date) -> None:
    url = f"sqlite:///{tmp_path / 'legacy.db'}"
    generate(url, size=3000, seed=seed, today=today)
    assert checks.violations(store.open_engine(url), today) == []


def test_the_default_history_has_every_case(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'legacy.db'}"
    generate(url)
    engine = store.open_engine(url)
    wanted = {
        "scheduled cancellations": f"POLMAST WHERE CAN_DT > {TODAY} AND STAT_CD <> 'R'",
        "cancellations due but not processed": f"POLMAST WHERE CAN_DT = {TODAY} AND STAT_CD IN ('A', 'H')",
        "zero and NULL for no date": "POLMAST WHERE CAN_DT = 0",
        "renewed but on hold": "POLMAST WHERE RNW_CNT > 0 AND STAT_CD = 'H'",
        "older endorsements without a reason": "POLEND WHERE RSN_CD IS NULL",
        "endorsements with a reason": "POLEND WHERE RSN_CD IS NOT NULL",
        "owners not on file": "POLMAST WHERE CUST_NO NOT IN (SELECT CUST_NO FROM CUSTMAST)",
        "brokers not on file": "POLMAST WHERE BRK_CD NOT IN (SELECT BRK_CD FROM BRKMAST)",
        "claims without a policy": "CLMNTF WHERE POL_NO NOT IN (SELECT POL_NO FROM POLMAST)",
        "policies without a billing link": "POLMAST WHERE POL_NO NOT IN (SELECT POL_NO FROM BILLNK)",
        "changed payment methods": "OUTBOX WHERE type = 'PaymentMethodChanged'",
    }
    with engine.connect() as connection:
        counts = {
            case: connection.exec_driver_sql(f"SELECT COUNT(*) FROM {rest}").scalar()
            for case, rest in wanted.items()
        }
    assert [case for case, count in counts.items() if not count] == []


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_reads_answer_for_every_key(estate: Engine, capability: str) -> None:
    with estate.connect() as connection:
        keys = [row[0] for row in connection.execute(text((SQL / f"{capability}.keys.sql").read_text()))]
    assert keys
    assert len(set(keys)) == len(keys)
    assert all(key == key.strip() for key in keys)
    answers = {key: read(estate, capability, key) for key in keys}
    if capability in ("portal_policy", "agent_case", "claim_cover"):
        assert {len(rows) for rows in answers.values()} == {1}
    assert any(answers.values())


@pytest.mark.parametrize("path", sorted(SQL.glob("*.sql")), ids=lambda path: path.name)
def test_statements_have_only_the_parameters_they_use(path: Path) -> None:
    """A colon or a percent sign in a comment is a parameter to some driver."""
    comments = "\n".join(line for line in path.read_text().splitlines() if line.startswith("--"))
    assert not re.search(r"(?<!\w):\w|%|\?", comments)
    assert comments


@pytest.mark.parametrize("today", [20260630, "20260630", "2026-06-30", date(2026, 6, 30)])
def test_today_is_understood_in_every_spelling(estate: Engine, today: Any) -> None:
    key = policy(estate, 801, "A", 20260101, 20270101, 20260630)
    assert read(estate, "portal_policy", key, today)[0]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("row", "portal", "agent"),
    [
        (("P", 20260701, 20270701), "issued", ("issued_not_in_force", "cover_starts_later", "2026-07-01")),
        (("P", 20260630, 20270630), "in_force", ("in_force", "nothing_to_explain", None)),
        (("A", 20260101, 20270101, 0), "in_force", ("in_force", "nothing_to_explain", None)),
        (
            ("A", 20260101, 20270101, 20260715),
            "in_force",
            ("in_force", "cancellation_scheduled", "2026-07-15"),
        ),
        (
            ("A", 20260101, 20270101, 20260630),
            "cancelled",
            ("cancelled", "cancelled_by_customer", "2026-06-30"),
        ),
        (
            ("C", 20260101, 20270101, 20260301),
            "cancelled",
            ("cancelled", "cancelled_by_customer", "2026-03-01"),
        ),
        (("R", 20260101, 20270101, 20260101), "rescinded", ("rescinded", "void_from_start", "2026-01-01")),
        (("L", 20250101, 20260101), "expired", ("expired", "not_renewed", "2026-01-01")),
        (("A", 20250630, 20260630), "expired", ("expired", "not_renewed", "2026-06-30")),
    ],
)
def test_status_is_decided_by_dates(estate: Engine, row: Any, portal: str, agent: Any) -> None:
    key = policy(estate, 802, *row)
    [seen] = read(estate, "portal_policy", key)
    assert (seen["status"], float(seen["premium"]), seen["product"]) == (portal, 120.5, "Motor Comfort")
    assert seen["cover_ends"] == ("2026-07-15" if 20260715 in row else None)
    [case] = read(estate, "agent_case", key)
    assert (case["state"], case["explanation"], case["explanation_date"]) == agent


def test_a_payment_hold_shows_and_a_compliance_hold_does_not(estate: Engine) -> None:
    held = policy(estate, 803, "H", 20240101, 20270101, renewals=2, owner="C99999999   ")
    hold(estate, held, 1, "P", 20260610)
    hold(estate, held, 2, "P")
    secret = policy(estate, 804, "A", 20260101, 20270101)
    hold(estate, secret, 1, "C", reason="AM", review="U")
    assert [read(estate, "portal_policy", key)[0]["status"] for key in (held, secret)] == [
        "on_hold",
        "in_force",
    ]
    [case] = read(estate, "agent_case", held)
    assert (case["explanation"], case["open_payment_holds"], case["renewals"]) == (
        "renewed_but_payment_open",
        1,
        2,
    )
    assert (case["customer_name"], case["customer_contact"]) == (None, "unknown")
    assert read(estate, "compliance_queue", held) == []
    [entry] = read(estate, "compliance_queue", secret)
    assert (entry["review_state"], entry["regulatory_reason"]) == ("under_review", "aml_suspicion")
    assert (entry["payout_prohibited"], entry["contract_change_prohibited"], entry["cover_running"]) == (
        1,
        0,
        1,
    )


def test_the_last_endorsement_tells_its_reason_or_that_it_has_none(estate: Engine) -> None:
    key = policy(estate, 805, "A", 20200101, 20270101)
    assert read(estate, "agent_case", key)[0]["last_endorsement_reason"] is None
    put(estate, "POLEND", key.ljust(12), 1, "SI", 20210101, 100, None, "2021-01-01 09:00:00")
    assert read(estate, "agent_case", key)[0]["last_endorsement_reason"] == "not_recorded"
    put(estate, "POLEND", key.ljust(12), 2, "SI", 20260101, 100, "UW", "2026-01-01 09:00:00")
    [case] = read(estate, "agent_case", key)
    assert (case["last_endorsement_reason"], case["last_endorsement_on"]) == ("underwriting", "2026-01-01")


def test_a_portfolio_counts_what_earns_commission(estate: Engine) -> None:
    broker = "BR7777"
    put(estate, "BRKMAST", broker.ljust(8), "Test Brokers", "A")
    rows = [
        ("A", 20250829, 20260829, None),  # in force, renewal due on day 60
        ("A", 20250830, 20260830, 0),  # in force, day 61
        ("H", 20260101, 20270101, None),  # on hold, and in force
        ("A", 20250801, 20260801, 20260715),  # cancellation comes before the renewal
        ("P", 20260701, 20270701, None),  # earns nothing yet
        ("C", 20260101, 20270101, 20260201),
        ("R", 20260101, 20270101, 20260101),
        ("A", 20250630, 20260630, None),  # expired today, batch still to run
    ]
    for n, (status, eff, exp, can) in enumerate(rows):
        policy(estate, 810 + n, status, eff, exp, can, broker=broker.ljust(8), product="HOM1")
    [line] = read(estate, "broker_portfolio", broker)
    assert (line["product_line"], float(line["premium_in_force"])) == ("home", 482.0)
    counts = line["policies_in_force"], line["policies_on_hold"], line["renewals_due_60_days"]
    assert counts == (4, 1, 1)


@pytest.mark.parametrize(
    "today", [date(2024, 1, 1), date(2023, 12, 31), date(2024, 2, 29), date(2025, 2, 28)]
)
def test_sixty_days_are_sixty_days(estate: Engine, today: date) -> None:
    put(estate, "BRKMAST", "BR8888  ", "Test Brokers", "A")
    for n, days in enumerate((60, 61)):
        exp = codes.ymd(today + timedelta(days=days))
        policy(estate, 820 + n, "A", 20230101, exp, broker="BR8888  ", product=("HOM1", "LIA1")[n])
    due = {
        row["product_line"]: row["renewals_due_60_days"]
        for row in read(estate, "broker_portfolio", "BR8888", today)
    }
    assert due == {"home": 1, "liability": 0}


@pytest.mark.parametrize(
    ("row", "loss", "paid_to", "extra", "expected"),
    [
        (("A", 20260101, 20270101), 20260501, 20260801, None, ("pay", "cover_confirmed")),
        (("C", 20260101, 20270101, 20260601), 20260501, 20260601, None, ("pay", "cover_confirmed")),
        (
            ("C", 20260101, 20270101, 20260601),
            20260601,
            20260601,
            None,
            ("refuse", "loss_after_cancellation"),
        ),
        (("R", 20260101, 20270101, 20260101), 20260501, 20270101, None, ("refuse", "policy_rescinded")),
        (("A", 20260101, 20270101), 20251231, 20260801, None, ("refuse", "loss_before_cover")),
        (("L", 20250101, 20260101), 20260101, 20260101, None, ("refuse", "loss_after_expiry")),
        (("A", 20260101, 20270101), 20260501, 20260801, "C", ("refer", "compliance_hold_standing")),
        (("H", 20260101, 20270101), 20260501, 20260801, "P", ("refer", "payment_hold_standing")),
        (("A", 20260101, 20270101), 20260501, 20260501, None, ("refer", "premium_unpaid_at_loss")),
        (("A", 20260101, 20270101), 20260501, -1, None, ("refer", "billing_link_missing")),
        (None, 20260501, -1, None, ("refuse", "policy_unknown")),
    ],
)
def test_a_claim_is_judged_on_the_day_of_loss(
    estate: Engine, row: Any, loss: int, paid_to: int, extra: str | None, expected: Any
) -> None:
    key = policy(estate, 830, *row) if row else "P000000830"
    if paid_to > 0:
        put(estate, "BILLNK", key.ljust(12), codes.account_key(1), "M", "D", paid_to, STAMP)
    if extra:
        hold(estate, key, 1, extra, reason="SN" if extra == "C" else "NP")
    put(estate, "CLMNTF", codes.claim_key(77), key.ljust(12), loss, 20260620, 100_000, "O", STAMP)
    [answer] = read(estate, "claim_cover", codes.claim_key(77).strip())
    assert (answer["decision"], answer["reason"]) == expected


def act(engine: Engine, name: str, key: str, seed: int = 0) -> bool:
    """Perform one business act and commit it."""
    desk = business.Desk(Random(seed), codes.BUSINESS_DATE, lambda _: 900)
    with engine.begin() as connection:
        return business.ACTS[name][1](connection, desk, key.ljust(12))


def test_hold_and_release_move_the_status(estate: Engine) -> None:
    key = policy(estate, 840, "A", 20260101, 20270101)
    statuses = []
    for name in ("hold", "hold", "compliance_hold", "release", "release"):
        assert act(estate, name, key)
        statuses.append(read(estate, "portal_policy", key)[0]["status"])
    assert statuses == ["on_hold", "on_hold", "on_hold", "on_hold", "in_force"]
    assert not act(estate, "release", key)


def test_a_rescission_overrules_a_scheduled_cancellation(estate: Engine) -> None:
    key = policy(estate, 841, "A", 20260101, 20270101, 20260801)
    assert not act(estate, "renew", key)
    assert not act(estate, "cancel", key)
    assert act(estate, "rescind", key)
    assert not act(estate, "endorse", key)
    [seen] = read(estate, "portal_policy", key)
    assert (seen["status"], seen["cover_ends"]) == ("rescinded", None)


def test_a_release_is_confirmed_later_in_its_own_transaction(estate: Engine, estate_url: str) -> None:
    def confirmations() -> int:
        with estate.connect() as connection:
            return int(connection.exec_driver_sql("SELECT COUNT(*) FROM OUTBOX").scalar_one())

    key = policy(estate, 842, "A", 20260101, 20270101)
    assert act(estate, "hold", key)
    assert act(estate, "release", key)
    before = confirmations()
    assert "1 missing" in checks.violations(estate)[-1]
    with LiveWriter(
        estate_url, rate=0.01, confirm_lag=0.4
    ):  # starts by catching up on what a killed bridge left
        time.sleep(0.15)
        assert confirmations() == before
        time.sleep(1.0)
        assert confirmations() == before + 1


def test_the_live_writer_keeps_the_estate_sound(estate_url: str) -> None:
    generate(estate_url, size=500, seed=4)
    writer = LiveWriter(estate_url, seed=1, rate=150, confirm_lag=0.3).start()
    time.sleep(4)
    counts = writer.stop()
    engine = store.open_engine(estate_url)
    assert checks.violations(engine) == []
    assert writer.total > 200
    assert writer.rolled_back > 0
    assert set(business.ACTS) <= set(counts)
    assert counts["confirm"] > 1


def test_a_transaction_can_stay_open_for_long(estate_url: str) -> None:
    generate(estate_url, size=300, seed=4)
    writer = LiveWriter(estate_url, rate=60, confirm_lag=0.2, open_long=0.5).start()
    time.sleep(2.5)
    counts = writer.stop()
    assert counts["long"] >= 1
    assert writer.total > 20
    assert checks.violations(store.open_engine(estate_url)) == []
