"""The vocabulary: values and pure functions. No clock, no I/O, no driver is known here."""
