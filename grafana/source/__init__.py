"""The dashboards as code: ``python -m grafana.source`` writes the files of grafana/dashboards anew."""
