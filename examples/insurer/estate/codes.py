"""The legacy system's codes, key formats and dates, shared by the generator and the live writer.

Nothing outside the estate may import this: a translator has to learn the codes from the data, as with any legacy system.
"""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime

BUSINESS_DATE = date(2026, 6, 30)
"""The estate's "today" unless a caller says otherwise. The clock never decides what day it is in the business."""

REASON_MANDATORY_FROM = date(2023, 1, 1).toordinal()
"""Endorsements entered before this day have no RSN_CD: the column came with a later release."""

PENDING, ACTIVE, HELD, CANCELLED, RESCINDED, LAPSED = "P", "A", "H", "C", "R", "L"
PAYMENT, COMPLIANCE = "P", "C"

PRODUCTS = ("MOT1", "MOT1", "MOT1", "MOT2", "HOM1", "HOM1", "HOM2", "LIA1", "TRV1", "BIZ1")
ENDORSEMENT_TYPES = ("SI", "OB", "PS", "CV", "DC")
ENDORSEMENT_REASONS = ("CR", "CR", "BR", "UW", "RG", "CO")
PAYMENT_HOLD_REASONS = ("NP", "NP", "DD", "CB")
COMPLIANCE_HOLD_REASONS = ("AM", "SN", "KY", "DP")
CANCELLATION_REASONS = ("CR", "CR", "NP", "SO", "UW")
RESCISSION_REASONS = ("FR", "MR")
PAYMENT_METHODS = {"D": "direct_debit", "C": "card", "I": "invoice"}
FREQUENCY_DAYS = {"M": 30, "Q": 91, "Y": 365}

GIVEN = (
    "Anna",
    "Bela",
    "Carla",
    "David",
    "Elif",
    "Fabian",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Klara",
    "Luca",
    "Mara",
    "Nils",
)
FAMILY = (
    "Adler",
    "Brandt",
    "Costa",
    "Dietz",
    "Eriksen",
    "Fischer",
    "Gruber",
    "Haas",
    "Ivanov",
    "Jansen",
    "Keller",
    "Lindt",
)
STREETS = (
    "Mill Lane",
    "High Street",
    "Station Road",
    "Park Avenue",
    "Church Street",
    "Harbour Way",
    "Orchard Close",
)
CITIES = (
    ("Aachen", "52062"),
    ("Bern", "3011"),
    ("Cork", "T12"),
    ("Delft", "2611"),
    ("Essen", "45127"),
    ("Graz", "8010"),
)

_OUTBOX_NAMESPACE = uuid.UUID("6f0c3a52-5d0e-5d4b-9a58-0f6b3f1f7a10")


def policy_key(number: int) -> str:
    """The padded key as the legacy programs write it."""
    return f"P{number:09d}".ljust(12)


def customer_key(number: int) -> str:
    """The padded key as the legacy programs write it."""
    return f"C{number:08d}".ljust(12)


def broker_key(number: int) -> str:
    """The padded key as the legacy programs write it."""
    return f"BR{number:04d}".ljust(8)


def claim_key(number: int) -> str:
    """The padded key as the legacy programs write it."""
    return f"CL{number:010d}".ljust(14)


def account_key(number: int) -> str:
    """The padded key as the billing system hands it over."""
    return f"A{number:010d}".ljust(12)


def outbox_id(*parts: object) -> str:
    """The id of an outbox row, from the fact it states: the bridge can run twice and still say it once."""
    return str(uuid.uuid5(_OUTBOX_NAMESPACE, ":".join(str(part) for part in parts)))


def ymd(day: date) -> int:
    """A date as the legacy system stores it: 20260630."""
    return day.year * 10000 + day.month * 100 + day.day


def from_ymd(number: int) -> date:
    """The inverse of `ymd`."""
    return date(number // 10000, number // 100 % 100, number % 100)


def anniversary(day: date, years: int) -> date:
    """The same day `years` later; a policy that began on 29 February has its anniversary on the 28th."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def stamp(moment: datetime | None = None) -> str:
    """A timestamp as the legacy columns hold it: UTC without a zone, microseconds. The database's own date plays no part."""
    moment = moment or datetime.now(UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
