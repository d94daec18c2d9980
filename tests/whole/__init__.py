"""Databases captured whole: every table that has a key, while a random but legal writer is at work."""
