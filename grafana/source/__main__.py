"""``python -m grafana.source``."""

from grafana.source.build import write

write()
