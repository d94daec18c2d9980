"""An insurer's policy administration: the legacy estate and the project that moves its reads."""
