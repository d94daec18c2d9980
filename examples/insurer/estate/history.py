"""The history of one policy after another, as rows: pure, deterministic, and blind to the engine underneath.

Policies are made in blocks, each with its own random stream, so the rows of policy 1,000,000 do not depend on how
the caller batches, and memory holds one batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from random import Random
from typing import Any, NamedTuple

from examples.insurer.estate import codes

BLOCK = 1000
Row = tuple[Any, ...]
_DAY_ZERO = date(2010, 1, 1).toordinal()
_YMD = [codes.ymd(date.fromordinal(_DAY_ZERO + n)) for n in range(366 * 35)]


@dataclass(frozen=True)
class World:
    """What every block has to know: the seed, how much there is of everything, and what day it is."""

    seed: int
    size: int
    today: date

    @property
    def now(self) -> int:
        """Today as an ordinal: history is made of day numbers, and written as yyyymmdd."""
        return self.today.toordinal()

    @property
    def customers(self) -> int:
        """Customers have 1.4 policies on average."""
        return max(5, self.size * 7 // 10)

    @property
    def brokers(self) -> int:
        """A broker's portfolio has 100 policies in a small estate, a few thousand in a large one."""
        return max(5, min(400, self.size // 100))


class Life(NamedTuple):
    """A policy's course, in day numbers. `until` is the last day on which anything can have happened to it."""

    status: str
    issued: int
    effective: int
    expires: int
    until: int
    cancelled: int | None = None
    reason: str | None = None
    renewals: int = 0


@dataclass
class Policy:
    """One policy while its rows are made: what later rows need to know of earlier ones."""

    number: int
    key: str
    life: Life
    status: str
    premium: int
    account: str
    touched: int
    facts: list[tuple[int, str, dict[str, object], str]] = field(default_factory=list)

    def touch(self, day: int) -> None:
        """Remember the latest day on which the master row was written."""
        self.touched = max(self.touched, day)


Rows = dict[str, list[Row]]


def masters(world: World) -> Iterator[Rows]:
    """Brokers, number ranges, and customers, in batches."""
    rng = Random(f"{world.seed}/brokers")
    brokers: list[Row] = []
    for n in range(1, world.brokers + 1):
        name = f"{rng.choice(codes.FAMILY)} & {rng.choice(codes.FAMILY)} Brokers"
        brokers.append((codes.broker_key(n), name, "T" if n % 17 == 0 else "A"))
    ranges: list[Row] = [("POL", world.size), ("CUS", world.customers), ("CLM", world.size * 10)]
    yield {"BRKMAST": brokers, "NUMRNG": ranges}
    for start in range(1, world.customers + 1, BLOCK):
        rng = Random(f"{world.seed}/customers/{start}")
        end = min(start + BLOCK, world.customers + 1)
        yield {
            "CUSTMAST": [
                customer(rng, n, _moment(rng, world.now - rng.randint(1, 2000))) for n in range(start, end)
            ]
        }


def customer(rng: Random, number: int, stamp: str) -> Row:
    """A CUSTMAST row; one customer in eight has no e-mail address."""
    given, family = rng.choice(codes.GIVEN), rng.choice(codes.FAMILY)
    email = f"{given}.{family}.{number}@mail.example".lower() if rng.random() > 0.125 else None
    return (codes.customer_key(number), f"{given} {family}", *address(rng), email, stamp)


def address(rng: Random) -> tuple[str, str, str]:
    """An address line, a city and its postcode."""
    city, postcode = rng.choice(codes.CITIES)
    return f"{rng.randint(1, 180)} {rng.choice(codes.STREETS)}", city, postcode


def policies(world: World) -> Iterator[Rows]:
    """All policies with everything that hangs on them, a block at a time."""
    for start in range(1, world.size + 1, BLOCK):
        rng = Random(f"{world.seed}/policies/{start}")
        rows: Rows = {t: [] for t in ("POLMAST", "POLEND", "POLHOLD", "CLMNTF", "BILLNK", "OUTBOX")}
        for number in range(start, min(start + BLOCK, world.size + 1)):
            _policy(rng, world, number, rows)
        yield rows


def _policy(rng: Random, world: World, number: int, rows: Rows) -> None:
    life = _life(rng, world.now)
    policy = Policy(
        number=number,
        key=codes.policy_key(number),
        life=life,
        status=life.status,
        premium=rng.randint(20_000, 180_000),
        account=codes.account_key(700_000_000 + number),
        touched=life.issued,
    )
    if life.status in (codes.CANCELLED, codes.RESCINDED, codes.LAPSED):
        policy.touch(life.until)
    _endorsements(rng, policy, rows["POLEND"])
    _holds(rng, policy, rows["POLHOLD"])
    _claims(rng, world.now, policy, rows["CLMNTF"])
    if number % 450:  # now and then the billing system never heard of a policy
        _billing(rng, world.now, policy, rows["BILLNK"])
    rows["POLMAST"].append(_master(rng, world, policy))
    _outbox(policy, rows["OUTBOX"])


def _master(rng: Random, world: World, policy: Policy) -> Row:
    life = policy.life
    owner = rng.randint(1, world.customers) if policy.number % 397 else 90_000_000 + policy.number
    broker = rng.randint(1, world.brokers) if policy.number % 600 else 9_900
    no_date = 0 if _YMD[life.issued - _DAY_ZERO] < 20220101 else None  # the old entry screen wrote zeros
    return (
        policy.key,
        codes.customer_key(owner),
        codes.broker_key(broker) if rng.random() > 0.04 else None,  # NULL: sold direct
        rng.choice(codes.PRODUCTS),
        policy.status,
        policy.premium,
        _ymd(life.issued),
        _ymd(life.effective),
        _ymd(life.expires),
        _ymd(life.cancelled) if life.cancelled else no_date,
        life.reason,
        life.renewals,
        _moment(rng, policy.touched),
    )


def _life(rng: Random, now: int) -> Life:
    kind = rng.random()
    if kind < 0.03:
        return _issued(rng, now)
    if kind < 0.73:
        return _running(rng, now)
    if kind < 0.85:
        return _expired(rng, now)
    if kind < 0.97:
        return _cancelled(rng, now)
    effective = now - rng.randint(20, 1100)
    issued = effective - rng.randint(0, 30)
    found_out = min(now, effective + rng.randint(10, 300))
    end, reason = _years(effective, 1), rng.choice(codes.RESCISSION_REASONS)
    return Life(codes.RESCINDED, issued, effective, end, min(found_out, end - 1), effective, reason)


def _issued(rng: Random, now: int) -> Life:
    effective = now + rng.randint(1, 45)
    life = Life(codes.PENDING, now - rng.randint(0, 30), effective, _years(effective, 1), now)
    if rng.random() < 0.1:
        return life._replace(cancelled=effective + rng.randint(1, 60), reason="CR")
    return life


def _running(rng: Random, now: int) -> Life:
    effective = now - rng.randint(0, 6 * 365)
    renewals = _whole_years(effective, now)
    expires = _years(effective, renewals + 1)
    if expires - now <= 45 and rng.random() < 0.5:  # renewed ahead of time
        renewals += 1
        expires = _years(effective, renewals + 1)
    pending = effective == now and rng.random() < 0.5  # tonight's batch has not put it in force yet
    status = codes.PENDING if pending else codes.ACTIVE
    life = Life(status, effective - rng.randint(0, 30), effective, expires, now, renewals=renewals)
    planned = rng.random()
    if planned < 0.06 and expires - now > 2:
        end = min(now + rng.randint(1, 90), expires - 1)
        return life._replace(cancelled=end, reason=rng.choice(codes.CANCELLATION_REASONS))
    if planned > 0.995 and effective < now:  # due today, not yet processed
        return life._replace(cancelled=now, reason="CR")
    return life


def _expired(rng: Random, now: int) -> Life:
    ended = now if rng.random() < 0.03 else now - rng.randint(0, 1095)
    renewals = rng.randint(0, 3)
    effective = _years(ended, -renewals - 1)
    expires = _years(effective, renewals + 1)
    status = codes.ACTIVE if expires == now and rng.random() < 0.5 else codes.LAPSED  # or tonight's batch
    return Life(status, effective - rng.randint(0, 30), effective, expires, expires - 1, renewals=renewals)


def _cancelled(rng: Random, now: int) -> Life:
    effective = now - rng.randint(40, 6 * 365)
    ended = min(now, effective + rng.randint(10, max(11, now - effective)))
    renewals = _whole_years(effective, ended)
    reason = rng.choice(codes.CANCELLATION_REASONS)
    expires = _years(effective, renewals + 1)
    return Life(
        codes.CANCELLED, effective - rng.randint(0, 30), effective, expires, ended, ended, reason, renewals
    )


def _endorsements(rng: Random, policy: Policy, rows: list[Row]) -> None:
    life = policy.life
    count = rng.choice((0, 0, 0, 1, 1, 2, 3, 4))
    days = sorted(rng.randint(life.issued, max(life.issued, life.until)) for _ in range(count))
    for seq, day in enumerate(days, 1):
        delta = rng.randint(-4_000, 6_000)
        reason = rng.choice(codes.ENDORSEMENT_REASONS)
        known = reason if day >= codes.REASON_MANDATORY_FROM else None
        effective = max(day, life.effective)
        kind = rng.choice(codes.ENDORSEMENT_TYPES)
        rows.append((policy.key, seq, kind, _ymd(effective), delta, known, _moment(rng, day)))
        policy.premium += delta
        policy.touch(day)


class Hold(NamedTuple):
    """A hold before it has its number."""

    placed: int
    released: int | None
    kind: str
    reason: str
    review: str | None


def _holds(rng: Random, policy: Policy, rows: list[Row]) -> None:
    holds = [*_payment_holds(rng, policy), *_compliance_holds(rng, policy)]
    holds.sort(key=lambda hold: (hold.placed, hold.kind))
    standing = any(h.kind == codes.PAYMENT and h.released is None for h in holds)
    if standing and policy.status == codes.ACTIVE:
        policy.status = codes.HELD
    for seq, hold in enumerate(holds, 1):
        last = hold.released or hold.placed
        released = _ymd(hold.released) if hold.released else None
        stamp = _moment(rng, last)
        rows.append(
            (policy.key, seq, hold.kind, _ymd(hold.placed), released, hold.reason, hold.review, stamp)
        )
        if hold.kind == codes.PAYMENT:
            policy.touch(last)
            if hold.released:
                payload = confirmation(
                    policy.key, seq, policy.account, date.fromordinal(hold.released), stamp
                )
                policy.facts.append((hold.released, "BillingReleaseConfirmed", payload, f"{seq}"))


def confirmation(key: str, seq: int, account: str | None, released: date, stamp: str) -> dict[str, object]:
    """What the billing bridge says when it has told the customer that a payment hold is gone."""
    return {
        "policy_no": key.strip(),
        "hold_seq": seq,
        "account_no": account.strip() if account else None,
        "released_on": released.isoformat(),
        "confirmed_on": released.isoformat(),
        "confirmed_at": stamp.replace(" ", "T") + "Z",
    }


def _payment_holds(rng: Random, policy: Policy) -> Iterator[Hold]:
    life = policy.life
    first, last = life.effective, life.until
    if last - first > 3 and rng.random() < 0.16:
        for _ in range(rng.choice((1, 1, 1, 2))):
            placed = rng.randint(first, last - 1)
            released = min(last, placed + rng.randint(1, 40))
            yield Hold(placed, released, codes.PAYMENT, rng.choice(codes.PAYMENT_HOLD_REASONS), None)
    share = {codes.ACTIVE: 0.07, codes.CANCELLED: 0.06}.get(policy.status, 0.0)
    if last >= first and rng.random() < share:
        for _ in range(rng.choice((1, 1, 1, 1, 1, 2))):
            placed = rng.randint(max(first, last - 30), last)
            yield Hold(placed, None, codes.PAYMENT, rng.choice(codes.PAYMENT_HOLD_REASONS), None)


def _compliance_holds(rng: Random, policy: Policy) -> Iterator[Hold]:
    life = policy.life
    chance = rng.random()
    if chance > 0.06 or life.until - life.issued < 2:
        return
    placed = rng.randint(life.issued, life.until - 1)
    reason = rng.choice(codes.COMPLIANCE_HOLD_REASONS)
    if chance < 0.03:
        yield Hold(placed, None, codes.COMPLIANCE, reason, rng.choice("OOUE"))
    else:
        yield Hold(placed, min(life.until, placed + rng.randint(1, 60)), codes.COMPLIANCE, reason, "K")


def _claims(rng: Random, now: int, policy: Policy, rows: list[Row]) -> None:
    life = policy.life
    if rng.random() > 0.13 or life.effective > now:
        return
    for n in range(rng.choice((1, 1, 1, 2))):
        loss = rng.randint(life.effective, min(now, life.until + 60))
        notified = min(now, loss + rng.randint(0, 20))
        number = policy.number * 10 + n
        orphan = number % 211 == 0
        key = codes.policy_key(990_000_000 + policy.number) if orphan else policy.key
        status = rng.choice("NOOSSSD")
        cents = rng.randint(5_000, 900_000)
        rows.append(
            (codes.claim_key(number), key, _ymd(loss), _ymd(notified), cents, status, _moment(rng, notified))
        )


def _billing(rng: Random, now: int, policy: Policy, rows: list[Row]) -> None:
    frequency = rng.choice("MMMQY")
    method = rng.choice("DDDCI")
    paid_to = _ymd(_paid_to(rng, now, policy, frequency)) if policy.status != codes.PENDING else 0
    day = min(now, policy.touched)
    if rng.random() < 0.05 and policy.life.until > policy.life.issued:
        day = rng.randint(policy.life.issued, policy.life.until)
        before = rng.choice([m for m in codes.PAYMENT_METHODS if m != method])
        stamp = _moment(rng, day)
        payload = method_change(policy.key, policy.account, before, method, stamp)
        policy.facts.append((day, "PaymentMethodChanged", payload, "1"))
    rows.append((policy.key, policy.account, frequency, method, paid_to, _moment(rng, day)))


def method_change(key: str, account: str, before: str, after: str, stamp: str) -> dict[str, object]:
    """What the newer part of the application says about a changed payment method: in words, not in codes."""
    return {
        "policy_no": key.strip(),
        "account_no": account.strip(),
        "previous_method": codes.PAYMENT_METHODS[before],
        "method": codes.PAYMENT_METHODS[after],
        "changed_at": stamp.replace(" ", "T") + "Z",
    }


def _paid_to(rng: Random, now: int, policy: Policy, frequency: str) -> int:
    life = policy.life
    if policy.status == codes.HELD:
        return max(life.effective, now - rng.randint(5, 40))
    if policy.status == codes.ACTIVE:
        behind = rng.random() < 0.03
        return now - rng.randint(1, 20) if behind else now + rng.randint(1, codes.FREQUENCY_DAYS[frequency])
    return life.cancelled or life.expires


def _outbox(policy: Policy, rows: list[Row]) -> None:
    subject = policy.key.strip()
    for _day, kind, payload, part in sorted(policy.facts, key=lambda fact: (fact[0], fact[1], fact[3])):
        text = json.dumps(payload, separators=(",", ":"))
        rows.append((codes.outbox_id(kind, subject, part), "policy", subject, kind, text))


def _ymd(day: int) -> int:
    return _YMD[day - _DAY_ZERO]


def _years(day: int, years: int) -> int:
    return codes.anniversary(date.fromordinal(day), years).toordinal()


def _whole_years(start: int, end: int) -> int:
    first, last = date.fromordinal(start), date.fromordinal(end)
    years = last.year - first.year
    return years - 1 if codes.anniversary(first, years) > last else years


def _moment(rng: Random, day: int) -> str:
    number = _YMD[day - _DAY_ZERO]
    second = int(rng.random() * 50_400) + 21_600  # office hours and a little more
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    micro = int(rng.random() * 1_000_000)
    return f"{number // 10000:04d}-{number // 100 % 100:02d}-{number % 100:02d} {clock}.{micro:06d}"
