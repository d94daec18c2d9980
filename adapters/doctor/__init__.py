"""What engines tell of their own ailments: the SQL of each diagnosis, for whatever the project keeps in that engine.

The legacy database, the state database and the read store fall ill in the same ways; each engine is known once.
"""
