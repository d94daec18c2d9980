"""Capture for databases that nobody may write to: what changed is found by looking again (`poll`, `snapshot`)."""
