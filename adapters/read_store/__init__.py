"""Read stores: where projections live, with their checkpoints, in one database."""
