"""The router: answers a capability read through its route, and says what the answer is worth."""
