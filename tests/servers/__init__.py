"""Real servers for the tests: private, throw-away, on loopback; each can be stopped, killed and started again."""
