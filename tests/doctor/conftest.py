from tests.support.legacy import captured, legacy, legacy_url

__all__ = ["captured", "legacy", "legacy_url"]
