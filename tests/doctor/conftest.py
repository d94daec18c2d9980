from tests.support.legacy import legacy, legacy_url

__all__ = ["legacy", "legacy_url"]
