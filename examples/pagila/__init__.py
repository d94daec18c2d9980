"""Pagila, a DVD rental shop's database, as a legacy system that nobody here wrote."""
