"""What the legacy application does in one transaction: each function is one business act on an open connection.

Every act locks its policy first, looks at what it locked, and returns False when the business would refuse. The
caller commits or rolls back. Nothing here asks the clock what day it is; `Desk.today` is the business date.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any

from sqlalchemy import Connection, text

from examples.insurer.estate import codes, history, store

Release = tuple[str, int, str | None]
"""A released payment hold that billing has yet to confirm: policy key, hold sequence, account."""


@dataclass
class Desk:
    """What a clerk brings to an act: chance, the business date, and where new numbers come from."""

    rng: Random
    today: date
    number: Callable[[str], int]
    brokers: int = 5
    released: list[Release] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)

    @property
    def ymd(self) -> int:
        """The business date as the tables hold it."""
        return codes.ymd(self.today)

    def ahead(self, low: int, high: int) -> int:
        """A day some days from today, as the tables hold it."""
        return codes.ymd(self.today + timedelta(days=self.rng.randint(low, high)))


Act = Callable[[Connection, Desk, str], bool]


def run(connection: Connection, statement: str, **values: Any) -> Any:
    """Execute one statement with named parameters."""
    return connection.execute(text(statement), values)


def insert(connection: Connection, table: str, row: history.Row, suffix: str = "") -> None:
    """Insert a whole row in the order of the table's columns."""
    columns = store.TABLES[table]
    marks = ", ".join(f":{name}" for name in columns)
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}){suffix}"
    run(connection, statement, **dict(zip(columns, row, strict=True)))


def lock(connection: Connection, key: str) -> Any:
    """Lock a policy's master row and return it. On SQLite the transaction holds the only write lock already."""
    suffix = " FOR UPDATE" if store.is_postgres(connection) else ""
    statement = f"SELECT {', '.join(store.TABLES['POLMAST'])} FROM POLMAST WHERE POL_NO = CAST(:key AS CHAR(12)){suffix}"
    row = run(connection, statement, key=key).one()
    names = store.TABLES["POLMAST"]
    return dict(zip(names, row, strict=True))


def update(connection: Connection, key: str, **changes: Any) -> None:
    """Write columns of the master row and its stamp."""
    changes["LST_UPD"] = codes.stamp()
    pairs = ", ".join(f"{name} = :{name}" for name in changes)
    run(connection, f"UPDATE POLMAST SET {pairs} WHERE POL_NO = CAST(:key AS CHAR(12))", key=key, **changes)


def _alive(policy: Any, desk: Desk) -> bool:
    """The contract has not ended by any date or code."""
    ended = policy["CAN_DT"] and policy["CAN_DT"] <= desk.ymd
    return policy["STAT_CD"] in "PAH" and policy["EXP_DT"] > desk.ymd and not ended


def _next(connection: Connection, table: str, column: str, key: str) -> int:
    statement = f"SELECT COALESCE(MAX({column}), 0) + 1 FROM {table} WHERE POL_NO = CAST(:key AS CHAR(12))"
    return int(run(connection, statement, key=key).scalar_one())


def issue(connection: Connection, desk: Desk, key: str) -> bool:
    """A new policy with its billing link, for a new customer or the owner of `key`. Cover may start later."""
    rng, stamp = desk.rng, codes.stamp()
    number = desk.number("POL")
    if rng.random() < 0.5:
        owner = codes.customer_key(customer := desk.number("CUS"))
        insert(connection, "CUSTMAST", history.customer(rng, customer, stamp))
    else:
        found = run(connection, "SELECT CUST_NO FROM POLMAST WHERE POL_NO = CAST(:key AS CHAR(12))", key=key)
        owner = found.scalar_one()
    effective = desk.today + timedelta(days=rng.choice((0, 0, 0, rng.randint(1, 45))))
    status = codes.ACTIVE if effective <= desk.today else codes.PENDING
    expires = codes.anniversary(effective, 1)
    broker = codes.broker_key(rng.randint(1, desk.brokers)) if rng.random() > 0.04 else None
    new, product, premium = codes.policy_key(number), rng.choice(codes.PRODUCTS), rng.randint(20_000, 180_000)
    dates = (desk.ymd, codes.ymd(effective), codes.ymd(expires), None, None, 0, stamp)
    insert(connection, "POLMAST", (new, owner, broker, product, status, premium, *dates))
    account = codes.account_key(700_000_000 + number)
    insert(connection, "BILLNK", (new, account, rng.choice("MMMQY"), rng.choice("DDDCI"), None, stamp))
    desk.issued.append(new)
    return True


def endorse(connection: Connection, desk: Desk, key: str) -> bool:
    """A change to the contract: an endorsement, always with its reason, and the new premium."""
    policy = lock(connection, key)
    if not _alive(policy, desk):
        return False
    rng = desk.rng
    delta = rng.randint(-4_000, 6_000)
    if policy["PREM_CENTS"] + delta <= 0:
        delta = 1_000
    effective = max(desk.ymd, policy["EFF_DT"])
    seq = _next(connection, "POLEND", "END_SEQ", key)
    kind, reason = rng.choice(codes.ENDORSEMENT_TYPES), rng.choice(codes.ENDORSEMENT_REASONS)
    insert(connection, "POLEND", (policy["POL_NO"], seq, kind, effective, delta, reason, codes.stamp()))
    update(connection, key, PREM_CENTS=policy["PREM_CENTS"] + delta)
    return True


def hold_payment(connection: Connection, desk: Desk, key: str) -> bool:
    """Premium is open: a payment hold, and the master row says H while one stands."""
    policy = lock(connection, key)
    if policy["STAT_CD"] not in "AH" or not _alive(policy, desk):
        return False
    seq = _next(connection, "POLHOLD", "HLD_SEQ", key)
    reason = desk.rng.choice(codes.PAYMENT_HOLD_REASONS)
    row = (policy["POL_NO"], seq, codes.PAYMENT, desk.ymd, None, reason, None, codes.stamp())
    insert(connection, "POLHOLD", row)
    update(connection, key, STAT_CD=codes.HELD)
    return True


def hold_compliance(connection: Connection, desk: Desk, key: str) -> bool:
    """A compliance hold. It does not touch STAT_CD: the customer may not notice."""
    policy = lock(connection, key)
    seq = _next(connection, "POLHOLD", "HLD_SEQ", key)
    reason = desk.rng.choice(codes.COMPLIANCE_HOLD_REASONS)
    row = (policy["POL_NO"], seq, codes.COMPLIANCE, desk.ymd, None, reason, "O", codes.stamp())
    insert(connection, "POLHOLD", row)
    return True


def _standing(connection: Connection, key: str, kind: str) -> list[Any]:
    statement = """SELECT HLD_SEQ, RVW_ST FROM POLHOLD
        WHERE POL_NO = CAST(:key AS CHAR(12)) AND HLD_TYP = :kind AND REL_DT IS NULL ORDER BY HLD_SEQ"""
    return list(run(connection, statement, key=key, kind=kind))


def _close(connection: Connection, desk: Desk, key: str, seq: int, review: str | None) -> None:
    statement = """UPDATE POLHOLD SET REL_DT = :day, RVW_ST = :review, LST_UPD = :stamp
        WHERE POL_NO = CAST(:key AS CHAR(12)) AND HLD_SEQ = :seq"""
    run(connection, statement, key=key, seq=seq, day=desk.ymd, review=review, stamp=codes.stamp())


def release_payment(connection: Connection, desk: Desk, key: str) -> bool:
    """The premium came in: the oldest payment hold goes, the account is paid ahead, A comes back after the last one.

    What the customer is told is not part of this transaction: the billing bridge confirms it later, in a batch.
    """
    policy = lock(connection, key)
    standing = _standing(connection, key, codes.PAYMENT)
    if not standing:
        return False
    _close(connection, desk, key, standing[0][0], None)
    if policy["STAT_CD"] == codes.HELD:
        update(connection, key, STAT_CD=codes.HELD if len(standing) > 1 else codes.ACTIVE)
    link = run(
        connection, "SELECT ACCT_NO, PAY_FREQ FROM BILLNK WHERE POL_NO = CAST(:key AS CHAR(12))", key=key
    ).first()
    if link is not None:
        days = codes.FREQUENCY_DAYS[link[1]]
        statement = (
            "UPDATE BILLNK SET PAID_TO_DT = :day, LST_UPD = :stamp WHERE POL_NO = CAST(:key AS CHAR(12))"
        )
        run(connection, statement, key=key, day=desk.ahead(days, days), stamp=codes.stamp())
    desk.released.append((key, int(standing[0][0]), link[0] if link is not None else None))
    return True


def release_compliance(connection: Connection, desk: Desk, key: str) -> bool:
    """A review ends: the compliance hold is cleared."""
    lock(connection, key)
    standing = _standing(connection, key, codes.COMPLIANCE)
    if not standing:
        return False
    _close(connection, desk, key, standing[0][0], "K")
    return True


def review(connection: Connection, _desk: Desk, key: str) -> bool:
    """A review moves on: opened, under review, escalated."""
    lock(connection, key)
    movable = [
        (seq, state) for seq, state in _standing(connection, key, codes.COMPLIANCE) if state in ("O", "U")
    ]
    if not movable:
        return False
    seq, state = movable[0]
    statement = """UPDATE POLHOLD SET RVW_ST = :state, LST_UPD = :stamp
        WHERE POL_NO = CAST(:key AS CHAR(12)) AND HLD_SEQ = :seq"""
    run(connection, statement, key=key, seq=seq, state="U" if state == "O" else "E", stamp=codes.stamp())
    return True


def schedule(connection: Connection, desk: Desk, key: str) -> bool:
    """Notice is given: CAN_DT lies ahead (or is today), STAT_CD stays as it is until the batch finds it due."""
    policy = lock(connection, key)
    if policy["CAN_DT"] or not _alive(policy, desk):
        return False
    first = max(desk.today, codes.from_ymd(policy["EFF_DT"]))
    day = codes.ymd(
        first + timedelta(days=desk.rng.choice((0, desk.rng.randint(1, 90), desk.rng.randint(1, 90))))
    )
    if day >= policy["EXP_DT"]:
        return False
    update(connection, key, CAN_DT=day, CAN_RSN=desk.rng.choice(codes.CANCELLATION_REASONS))
    return True


def cancel(connection: Connection, desk: Desk, key: str) -> bool:
    """The batch finds a scheduled cancellation due, or a cancellation takes effect at once."""
    policy = lock(connection, key)
    due = policy["CAN_DT"] and policy["CAN_DT"] <= desk.ymd
    if policy["STAT_CD"] not in "PAH":
        return False
    if due:
        update(connection, key, STAT_CD=codes.CANCELLED)
        return True
    if policy["CAN_DT"] or policy["EFF_DT"] > desk.ymd or policy["EXP_DT"] <= desk.ymd:
        return False
    reason = desk.rng.choice(codes.CANCELLATION_REASONS)
    update(connection, key, STAT_CD=codes.CANCELLED, CAN_DT=desk.ymd, CAN_RSN=reason)
    return True


def rescind(connection: Connection, desk: Desk, key: str) -> bool:
    """Cover is taken back from its first day: R, with CAN_DT set to EFF_DT, whatever was scheduled."""
    policy = lock(connection, key)
    if policy["EFF_DT"] > desk.ymd or not _alive(policy, desk):
        return False
    reason = desk.rng.choice(codes.RESCISSION_REASONS)
    update(connection, key, STAT_CD=codes.RESCINDED, CAN_DT=policy["EFF_DT"], CAN_RSN=reason)
    return True


def renew(connection: Connection, desk: Desk, key: str) -> bool:
    """One more year at an indexed premium; also while on payment hold, never with a cancellation booked."""
    policy = lock(connection, key)
    soon = policy["EXP_DT"] <= codes.ymd(desk.today + timedelta(days=90))
    if policy["STAT_CD"] not in "AH" or policy["CAN_DT"] or not soon or not _alive(policy, desk):
        return False
    expires = codes.ymd(codes.anniversary(codes.from_ymd(policy["EXP_DT"]), 1))
    premium = policy["PREM_CENTS"] * 102 // 100
    update(connection, key, EXP_DT=expires, RNW_CNT=policy["RNW_CNT"] + 1, PREM_CENTS=premium)
    return True


def move_house(connection: Connection, desk: Desk, key: str) -> bool:
    """The owner of a policy has a new address. An owner who is not on file cannot move."""
    policy = lock(connection, key)
    line, city, postcode = history.address(desk.rng)
    statement = """UPDATE CUSTMAST SET ADDR_LN = :line, CITY_NM = :city, POST_CD = :postcode, LST_UPD = :stamp
        WHERE CUST_NO = CAST(:owner AS CHAR(12))"""
    values = {
        "line": line,
        "city": city,
        "postcode": postcode,
        "stamp": codes.stamp(),
        "owner": policy["CUST_NO"],
    }
    return bool(run(connection, statement, **values).rowcount)


def notify_claim(connection: Connection, desk: Desk, key: str) -> bool:
    """A claim is notified. Nobody checks cover at this point; that is what claim-cover is for."""
    policy = lock(connection, key)
    if policy["EFF_DT"] > desk.ymd:
        return False
    loss = max(policy["EFF_DT"], desk.ahead(-25, 0))
    number = codes.claim_key(desk.number("CLM"))
    row = (number, policy["POL_NO"], loss, desk.ymd, desk.rng.randint(5_000, 900_000), "N", codes.stamp())
    insert(connection, "CLMNTF", row)
    return True


def change_payment(connection: Connection, desk: Desk, key: str) -> bool:
    """Another payment method: the newer part of the application states the fact itself, in the same transaction."""
    lock(connection, key)
    link = run(
        connection, "SELECT ACCT_NO, PAY_MTH FROM BILLNK WHERE POL_NO = CAST(:key AS CHAR(12))", key=key
    ).first()
    if link is None:
        return False
    account, before = link
    after, stamp = desk.rng.choice([m for m in codes.PAYMENT_METHODS if m != before]), codes.stamp()
    statement = "UPDATE BILLNK SET PAY_MTH = :after, LST_UPD = :stamp WHERE POL_NO = CAST(:key AS CHAR(12))"
    run(connection, statement, key=key, after=after, stamp=stamp)
    say(
        connection,
        key,
        "PaymentMethodChanged",
        history.method_change(key, account, before, after, stamp),
        stamp,
    )
    return True


def say(connection: Connection, key: str, kind: str, payload: dict[str, object], part: object) -> None:
    """Write one outbox row about a policy; a fact that has been stated already is not stated twice."""
    subject = key.strip()
    body = json.dumps(payload, separators=(",", ":"))
    row = (codes.outbox_id(kind, subject, part), "policy", subject, kind, body)
    insert(connection, "OUTBOX", row, " ON CONFLICT (id) DO NOTHING")


def confirm(connection: Connection, desk: Desk, releases: list[Release]) -> None:
    """The billing bridge's batch: one row for each release it has told a customer about."""
    for key, seq, account in releases:
        payload = history.confirmation(key, seq, account, desk.today, codes.stamp())
        say(connection, key, "BillingReleaseConfirmed", payload, seq)


ACTS: dict[str, tuple[int, Act]] = {
    "issue": (12, issue),
    "endorse": (26, endorse),
    "hold": (9, hold_payment),
    "compliance_hold": (4, hold_compliance),
    "release": (9, release_payment),
    "compliance_release": (3, release_compliance),
    "review": (3, review),
    "schedule_cancellation": (8, schedule),
    "cancel": (5, cancel),
    "rescind": (2, rescind),
    "renew": (6, renew),
    "move_house": (7, move_house),
    "claim": (4, notify_claim),
    "payment_method": (2, change_payment),
}
"""Each kind of transaction with its share of the day's work (in a hundred) and what it does."""
