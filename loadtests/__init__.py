"""Load tests: what is sent, how fast, and what came of it."""
