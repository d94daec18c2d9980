"""What must be true of the estate at any time, and a digest that is the same on both engines for the same rows."""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime

from sqlalchemy import Engine, text

from examples.insurer.estate import codes, store

INVARIANTS: dict[str, str] = {
    "a policy is on H exactly while a payment hold stands": """
        SELECT p.POL_NO FROM POLMAST p WHERE p.STAT_CD IN ('P', 'A', 'H') AND (p.STAT_CD = 'H') <> EXISTS (
          SELECT 1 FROM POLHOLD h WHERE h.POL_NO = p.POL_NO AND h.HLD_TYP = 'P' AND h.REL_DT IS NULL)""",
    "C only once CAN_DT has come": """
        SELECT POL_NO FROM POLMAST WHERE STAT_CD = 'C' AND (CAN_DT IS NULL OR CAN_DT = 0 OR CAN_DT > :today)""",
    "R takes cover back from the first day": """
        SELECT POL_NO FROM POLMAST WHERE STAT_CD = 'R' AND (CAN_DT IS NULL OR CAN_DT <> EFF_DT)""",
    "L only once EXP_DT has come": "SELECT POL_NO FROM POLMAST WHERE STAT_CD = 'L' AND EXP_DT > :today",
    "P only before or on the first day": "SELECT POL_NO FROM POLMAST WHERE STAT_CD = 'P' AND EFF_DT < :today",
    "the nightly batch of yesterday has run": """
        SELECT POL_NO FROM POLMAST WHERE STAT_CD IN ('P', 'A', 'H')
          AND (EXP_DT < :today OR (CAN_DT > 0 AND CAN_DT < :today))""",
    "dates are in order": """
        SELECT POL_NO FROM POLMAST WHERE ISS_DT > EFF_DT OR EFF_DT >= EXP_DT OR ISS_DT > :today
          OR (CAN_DT > 0 AND (CAN_DT < EFF_DT OR CAN_DT >= EXP_DT))""",
    "a cancellation has a reason, nothing else has": """
        SELECT POL_NO FROM POLMAST WHERE (COALESCE(CAN_DT, 0) > 0) <> (CAN_RSN IS NOT NULL)""",
    "a premium is positive": "SELECT POL_NO FROM POLMAST WHERE PREM_CENTS <= 0",
    "endorsements since 2023 have a reason": """
        SELECT POL_NO FROM POLEND WHERE RSN_CD IS NULL AND CAST(ENT_TS AS VARCHAR(10)) >= '2023-01-01'""",
    "a hold is released after it was placed": "SELECT POL_NO FROM POLHOLD WHERE REL_DT < PLC_DT OR REL_DT > :today",
    "compliance holds have a review state, K when released": """
        SELECT POL_NO FROM POLHOLD WHERE (HLD_TYP = 'C') <> (RVW_ST IS NOT NULL)
          OR (HLD_TYP = 'C' AND (RVW_ST = 'K') <> (REL_DT IS NOT NULL))""",
    "claims are notified after the loss": "SELECT CLM_NO FROM CLMNTF WHERE NTF_DT < LOSS_DT OR NTF_DT > :today",
    "numbers come from their range": """
        SELECT POL_NO FROM POLMAST WHERE CAST(SUBSTR(POL_NO, 2, 9) AS INTEGER) > (
          SELECT LST_NBR FROM NUMRNG WHERE RNG_CD = 'POL')""",
}
"""Each rule with the statement that finds what breaks it."""


def violations(engine: Engine, today: date = codes.BUSINESS_DATE) -> list[str]:
    """Every broken rule with the first keys that break it; empty when the estate is sound."""
    found = []
    with engine.connect() as connection:
        for rule, statement in INVARIANTS.items():
            values = {"today": codes.ymd(today)} if ":today" in statement else {}
            keys = [str(row[0]).strip() for row in connection.execute(text(statement), values)]
            if keys:
                found.append(f"{rule}: {len(keys)} broken, such as {', '.join(keys[:3])}")
    return found + _unconfirmed(engine)


def _unconfirmed(engine: Engine) -> list[str]:
    """Released payment holds and confirmations in the outbox must be the same set (the bridge has to be done)."""
    with engine.connect() as connection:
        released = connection.exec_driver_sql(
            "SELECT POL_NO, HLD_SEQ FROM POLHOLD WHERE HLD_TYP = 'P' AND REL_DT IS NOT NULL"
        )
        expected = {
            codes.outbox_id("BillingReleaseConfirmed", str(key).strip(), seq) for key, seq in released
        }
        rows = connection.exec_driver_sql("SELECT id FROM OUTBOX WHERE type = 'BillingReleaseConfirmed'")
        actual = {str(row[0]) for row in rows}
    if expected == actual:
        return []
    return [
        f"every released payment hold is confirmed once: {len(expected - actual)} missing, {len(actual - expected)} extra"
    ]


def digest(engine: Engine) -> str:
    """A digest over all rows of all tables, independent of the engine and of physical order."""
    total = hashlib.sha256()
    with engine.connect() as connection:
        for table, columns in store.TABLES.items():
            order = ", ".join(store.PRIMARY_KEYS[table])
            rows = connection.execution_options(stream_results=True).exec_driver_sql(
                f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"
            )
            total.update(table.encode())
            for row in rows:
                total.update(repr([_plain(value) for value in row]).encode())
    return total.hexdigest()


def _plain(value: object) -> object:
    """One spelling for what the drivers return differently: stamps, JSON, UUIDs, padding."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, str) and value.startswith("{"):
        value = json.loads(value)
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return (
        value.rstrip()
        if isinstance(value, str)
        else value
        if isinstance(value, int) or value is None
        else str(value)
    )
