"""Things that go wrong: what may happen, when it does, and what it changes."""
