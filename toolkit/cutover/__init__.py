"""Moving a route: facts, gates, plan and apply, the way back, the guard."""
