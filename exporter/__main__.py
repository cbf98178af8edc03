"""``python -m exporter`` is the command ``remote-job-exporter``."""

from exporter.cli.main import main

if __name__ == "__main__":
    main()
