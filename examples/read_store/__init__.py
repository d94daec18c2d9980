"""A read store of another kind than SQL: documents in one file, as an example of what the port asks for."""
