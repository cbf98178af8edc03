"""Commands and flags, and what they print."""

COMMAND = "remote-job-exporter"
