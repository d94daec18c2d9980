"""The anti-corruption layer: legacy rows in, facts out. Pure functions; what they cannot read is parked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from toolkit import Change, Event, Op, Translators, Untranslatable, payload

from . import codes
from . import events as e
from .endorsements import NO_REASON, EndorsementApplied

acl = Translators("policy_admin")

acl.aggregate("broker", {"BRKMAST": "BRK_CD"})
acl.aggregate("customer", {"CUSTMAST": "CUST_NO"})
acl.aggregate(
    "policy",
    {
        "POLMAST": "POL_NO",
        "POLEND": "POL_NO",
        "POLHOLD": "POL_NO",
        "BILLNK": "POL_NO",
        "OUTBOX": "AGGREGATEID",
    },
)
acl.aggregate("claim", {"CLMNTF": "CLM_NO"})

acl.meaningless("POLMAST", "LST_UPD", why="when the night run last touched the row")
acl.meaningless(
    "POLMAST", "STAT_CD", why="A and H only repeat what POLHOLD says; every other code gives an event"
)
acl.meaningless("BILLNK", "LST_UPD", "PAY_MTH", why="OUTBOX tells of a changed method, and knows why")

PENDING, ACTIVE, HELD, CANCELLED, RESCINDED, LAPSED = "P", "A", "H", "C", "R", "L"


@acl.table("POLMAST")
def policy(change: Change) -> Iterator[Event]:
    """The contract. STAT_CD's A and H only repeat what POLHOLD says, so holds are not read here."""
    if change.op is Op.DELETE:
        raise Untranslatable("a policy was deleted: contracts are ended, never deleted; ask the policy team")
    policy_no, status = change.text("POL_NO"), change.text("STAT_CD")
    if status not in (PENDING, ACTIVE, HELD, CANCELLED, RESCINDED, LAPSED):
        raise Untranslatable(f"POLMAST.STAT_CD = {status!r} is a code nobody told us of")
    if change.before is None:
        yield _issued(change, policy_no)
    if change.changed("STAT_CD") and status != PENDING and _was(change) in (PENDING, None):
        yield e.PolicyCameIntoForce(policy_no=policy_no)
    if change.changed("RNW_CNT") and change["RNW_CNT"]:
        expires_on = codes.required_date(change, "EXP_DT")
        yield e.PolicyRenewed(
            policy_no=policy_no, expires_on=expires_on, renewals=int(str(change["RNW_CNT"]))
        )
    if change.before is not None and change.changed("PREM_CENTS"):
        yield e.PremiumAgreed(policy_no=policy_no, premium=codes.money(change["PREM_CENTS"]))
    yield from _ending(change, policy_no)


def _was(change: Change) -> str | None:
    return None if change.before is None else str(change.before["STAT_CD"]).rstrip()


def _issued(change: Change, policy_no: str) -> Event:
    return e.PolicyIssued(
        policy_no=policy_no,
        customer_no=change.text("CUST_NO"),
        broker_code=codes.text(change, "BRK_CD"),
        product=change.text("PROD_CD"),
        premium=codes.money(change["PREM_CENTS"]),
        issued_on=codes.required_date(change, "ISS_DT"),
        effective_on=codes.required_date(change, "EFF_DT"),
        expires_on=codes.required_date(change, "EXP_DT"),
    )


def _ending(change: Change, policy_no: str) -> Iterator[Event]:
    ends_on = codes.date(change["CAN_DT"])
    reason = codes.CANCELLATION_REASONS.get(change.text("CAN_RSN"), e.CancellationReason.UNKNOWN)
    if change.became("STAT_CD", RESCINDED):
        yield e.PolicyRescinded(
            policy_no=policy_no, effective_on=ends_on or codes.required_date(change, "EFF_DT")
        )
    elif change.became("STAT_CD", CANCELLED):
        effective_on = codes.required_date(change, "CAN_DT")
        yield e.PolicyCancelled(policy_no=policy_no, effective_on=effective_on, reason=reason)
    elif change.became("STAT_CD", LAPSED):
        yield e.PolicyLapsed(policy_no=policy_no)
    elif change.changed("CAN_DT", "CAN_RSN") and ends_on is not None:
        yield e.PolicyCancellationScheduled(policy_no=policy_no, effective_on=ends_on, reason=reason)
    elif change.before is not None and codes.date(change.before["CAN_DT"]) is not None and ends_on is None:
        yield e.PolicyCancellationWithdrawn(policy_no=policy_no)


@acl.table("POLEND")
def endorsement(change: Change) -> Iterator[Event]:
    """Endorsements are entered once. Before 2023 the entry screen did not ask for a reason."""
    if change.op not in (Op.INSERT, Op.SNAPSHOT):
        raise Untranslatable(
            f"an endorsement was changed afterwards ({change.op}): ask the policy team what it means"
        )
    yield EndorsementApplied(
        policy_no=change.text("POL_NO"),
        endorsement_no=int(str(change["END_SEQ"])),
        kind=codes.decode(codes.ENDORSEMENT_KINDS, change, "END_TYP"),
        effective_on=codes.required_date(change, "EFF_DT"),
        premium_delta=codes.money(change["PREM_DELTA_CENTS"]),
        reason=codes.decode(codes.ENDORSEMENT_REASONS, change, "RSN_CD") if change["RSN_CD"] else NO_REASON,
        entered_on=dt.datetime.fromisoformat(change.text("ENT_TS")).date(),
    )


@acl.table("POLHOLD")
def hold(change: Change) -> Iterator[Event]:
    """Payment and compliance holds share a table and nothing else."""
    if change.op is Op.DELETE:
        raise Untranslatable("a hold was deleted: holds are released, never deleted; ask the policy team")
    kind = change.text("HLD_TYP")
    if kind == "P":
        yield from _payment_hold(change)
    elif kind == "C":
        yield from _compliance_hold(change)
    else:
        raise Untranslatable(f"POLHOLD.HLD_TYP = {kind!r} is a code nobody told us of (known: P, C)")


def _payment_hold(change: Change) -> Iterator[Event]:
    policy_no, hold_no = change.text("POL_NO"), int(str(change["HLD_SEQ"]))
    if change.before is None:
        yield e.PaymentHoldPlaced(
            policy_no=policy_no,
            hold_no=hold_no,
            placed_on=codes.required_date(change, "PLC_DT"),
            reason=codes.decode(codes.PAYMENT_HOLD_REASONS, change, "RSN_CD"),
        )
    released_on = codes.date(change["REL_DT"])
    if released_on is not None and change.changed("REL_DT"):
        yield e.PaymentHoldReleased(policy_no=policy_no, hold_no=hold_no, released_on=released_on)


def _compliance_hold(change: Change) -> Iterator[Event]:
    policy_no, hold_no = change.text("POL_NO"), int(str(change["HLD_SEQ"]))
    hold_id = f"{policy_no}/{hold_no}"
    review = codes.decode(codes.REVIEW_STATES, change, "RVW_ST") if change["RVW_ST"] else "unassigned"
    if change.before is None:
        yield e.ComplianceHoldPlaced(
            policy_no=policy_no,
            hold_id=hold_id,
            hold_no=hold_no,
            placed_on=codes.required_date(change, "PLC_DT"),
            reason=codes.decode(codes.COMPLIANCE_REASONS, change, "RSN_CD"),
            review=review,
        )
    elif change.changed("RVW_ST"):
        yield e.ComplianceReviewAdvanced(policy_no=policy_no, hold_id=hold_id, hold_no=hold_no, review=review)
    released_on = codes.date(change["REL_DT"])
    if released_on is not None and change.changed("REL_DT"):
        yield e.ComplianceHoldReleased(
            policy_no=policy_no, hold_id=hold_id, hold_no=hold_no, released_on=released_on
        )


@acl.table("BILLNK")
def billing_link(change: Change) -> Iterator[Event]:
    """The link to billing. A changed method is told by the newer application itself, in OUTBOX."""
    if change.op is Op.DELETE:
        raise Untranslatable("a billing link was deleted: ask billing what becomes of the account")
    paid_to = codes.date(change["PAID_TO_DT"])
    if change.changed("ACCT_NO"):
        yield e.BillingLinked(
            policy_no=change.text("POL_NO"),
            account_no=change.text("ACCT_NO"),
            method=codes.decode(codes.PAYMENT_METHODS, change, "PAY_MTH"),
            paid_to=paid_to,
        )
    elif change.changed("PAID_TO_DT"):
        yield e.PremiumSettled(policy_no=change.text("POL_NO"), paid_to=paid_to)


@acl.outbox("OUTBOX", "BillingReleaseConfirmed")
def release_confirmed(change: Change) -> Iterator[Event]:
    fact = payload(change)
    yield e.BillingReleaseConfirmed(policy_no=str(fact["policy_no"]), hold_no=int(str(fact["hold_seq"])))


@acl.outbox("OUTBOX", "PaymentMethodChanged")
def payment_method_changed(change: Change) -> Iterator[Event]:
    fact = payload(change)
    yield e.PaymentMethodChanged(policy_no=str(fact["policy_no"]), method=str(fact["method"]))


@acl.table("CUSTMAST")
def customer(change: Change) -> Iterator[Event]:
    if change.op is Op.DELETE:
        raise Untranslatable("a customer was deleted: is this an erasure request? ask data protection")
    customer_no = change.text("CUST_NO")
    address, city, postcode = (codes.text(change, name) for name in ("ADDR_LN", "CITY_NM", "POST_CD"))
    name, email = change.text("CUST_NM"), codes.text(change, "EMAIL_TX")
    if change.before is None:
        yield e.CustomerRegistered(
            customer_no=customer_no, name=name, address=address, city=city, postcode=postcode, email=email
        )
        return
    if change.changed("ADDR_LN", "CITY_NM", "POST_CD"):
        yield e.CustomerMovedHouse(customer_no=customer_no, address=address, city=city, postcode=postcode)
    if change.changed("CUST_NM", "EMAIL_TX"):
        yield e.CustomerContactCorrected(customer_no=customer_no, name=name, email=email)


@acl.table("BRKMAST")
def broker(change: Change) -> Iterator[Event]:
    broker_code = change.text("BRK_CD")
    if change.op is Op.DELETE:
        raise Untranslatable("a broker was deleted: brokers are terminated, never deleted")
    if change.before is None or change.changed("BRK_NM"):
        yield e.BrokerAppointed(broker_code=broker_code, name=change.text("BRK_NM"))
    if change.became("BRK_ST", "T"):
        yield e.BrokerTerminated(broker_code=broker_code)


@acl.table("CLMNTF")
def claim(change: Change) -> Iterator[Event]:
    if change.op is Op.DELETE:
        raise Untranslatable("a claim was deleted: claims are declined, never deleted")
    claim_no, amount = change.text("CLM_NO"), codes.money(change["AMT_CENTS"])
    state = codes.decode(codes.CLAIM_STATES, change, "STAT_CD")
    if change.before is None:
        yield e.ClaimNotified(
            claim_no=claim_no,
            policy_no=change.text("POL_NO"),
            loss_on=codes.required_date(change, "LOSS_DT"),
            notified_on=codes.required_date(change, "NTF_DT"),
            amount=amount,
            state=state,
        )
    elif change.changed("STAT_CD", "AMT_CENTS"):
        yield e.ClaimAdvanced(claim_no=claim_no, state=state, amount=amount)
