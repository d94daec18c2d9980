"""Moves the view `customer_list` and one rental read off Pagila."""
