"""The legacy system's one-letter worlds. They end here: nothing behind the translators knows a code."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

from toolkit import Change, Untranslatable

from .events import CancellationReason

CANCELLATION_REASONS = {
    "CR": CancellationReason.CUSTOMER_REQUEST,
    "NP": CancellationReason.NON_PAYMENT,
    "SO": CancellationReason.SOLD,
    "UW": CancellationReason.UNDERWRITING,
}
ENDORSEMENT_KINDS = {"SI": "sum_insured", "OB": "object", "PS": "person", "CV": "cover", "DC": "discount"}
ENDORSEMENT_REASONS = {
    "CR": "customer_request",
    "BR": "broker_request",
    "UW": "underwriting",
    "RG": "regulation",
    "CO": "correction",
}
PAYMENT_HOLD_REASONS = {"NP": "not_paid", "DD": "direct_debit_returned", "CB": "charged_back"}
COMPLIANCE_REASONS = {
    "AM": "aml_suspicion",
    "SN": "sanctions_match",
    "KY": "customer_due_diligence_incomplete",
    "DP": "data_protection_objection",
}
REVIEW_STATES = {"O": "opened", "U": "under_review", "E": "escalated", "K": "cleared"}
PAYMENT_METHODS = {"D": "direct_debit", "C": "card", "I": "invoice"}
CLAIM_STATES = {"N": "notified", "O": "open", "S": "settled", "D": "declined"}


def decode(codes: Mapping[str, str], change: Change, column: str) -> str:
    """The word behind a code. A code nobody told us of parks the change instead of becoming a guess."""
    code = change.text(column)
    try:
        return codes[code]
    except KeyError:
        known = ", ".join(codes)
        raise Untranslatable(
            f"{change.table}.{column} = {code!r} is a code nobody told us of (known: {known})"
        ) from None


def date(value: object) -> dt.date | None:
    """A date from the legacy integer 20260630; 0 and NULL both mean that there is none."""
    if not value:
        return None
    number = int(str(value))
    return dt.date(number // 10000, number // 100 % 100, number % 100)


def required_date(change: Change, column: str) -> dt.date:
    """A date that must be there."""
    found = date(change[column])
    if found is None:
        raise Untranslatable(f"{change.table}.{column} is empty, and a date is needed")
    return found


def money(value: object) -> Decimal:
    """Currency units from the legacy cents."""
    return Decimal(int(str(value))) / 100


def text(change: Change, column: str) -> str | None:
    """The column's text without padding; blank is None."""
    return change.text(column) or None
