"""The command line: load, call, render. Everything that decides lives below this roof."""
