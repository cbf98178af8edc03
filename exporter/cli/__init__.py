"""Commands and flags, and what they print."""
