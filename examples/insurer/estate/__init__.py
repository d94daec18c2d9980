"""The legacy system: its schema, a generator of its history, and a writer that keeps it busy."""
