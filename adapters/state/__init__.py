"""The toolkit's own state in a SQL database: one module per port."""
