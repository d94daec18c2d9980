"""What a legacy database tells of itself: tables, keys, types and samples, from which `strangler init` proposes a project."""
