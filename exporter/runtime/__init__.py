"""The process and its machine: files, secrets, the log, tasks, systemd."""
