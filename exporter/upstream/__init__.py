"""One system's client: prepared requests, credentials, rate limits, and the trace of a read."""
