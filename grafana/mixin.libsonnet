// Rules and dashboards of this folder as a monitoring mixin. Tested with jsonnet and go-jsonnet 0.22. jsonnet 0.18 of
// Debian fails at multi-line strings in YAML.
{
  _config+:: {
    // Base addresses of the links in alerts.
    grafanaUrl: 'https://grafana.example.com',
    runbookUrl: 'https://github.com/remote-job-exporter/remote-job-exporter/blob/main/docs/on-call/alerts',
  },

  local rules = std.strReplace(
    std.strReplace(importstr 'alerts/rules.yaml', 'https://grafana.example.com', $._config.grafanaUrl),
    'https://github.com/remote-job-exporter/remote-job-exporter/blob/main/docs/on-call/alerts',
    $._config.runbookUrl,
  ),

  // Recording rules and alerts are one group: the alerts use series that are recorded just before them.
  prometheusAlerts+:: {
    groups+: std.parseYaml(rules).groups,
  },
  prometheusRules+:: {
    groups+: [],
  },

  grafanaDashboards+:: {
    'remote-job-overview.json': import 'dashboards/overview.json',
    'remote-job-system.json': import 'dashboards/system.json',
    'remote-job-job.json': import 'dashboards/job.json',
    'remote-job-exporter.json': import 'dashboards/exporter.json',
  },
}
