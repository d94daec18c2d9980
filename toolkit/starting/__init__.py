"""Propose a project for a database: facts of the database in, the files of a project and what is left to decide out."""
