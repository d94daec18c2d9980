"""A migration project as its team writes it: events, translators, projections, SQL and strangler.toml."""
