"""Changes as the state database keeps them: JSON in which a Decimal stays one, for money must not become a float."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from toolkit.core.changes import Change

encode_change = msgspec.json.Encoder(decimal_format="number").encode
decode_change = msgspec.json.Decoder(Change, float_hook=Decimal).decode
