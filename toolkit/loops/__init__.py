"""The loops: translate, backfill, relay, project, rebuild, verify. Each step may be done again after a crash."""
