"""The vocabulary and its rules, without I/O: job and status, failures, history, pacing, shards, the clock."""
