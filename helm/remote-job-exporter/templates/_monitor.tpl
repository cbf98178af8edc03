{{/* `metadata` of a monitor or rule: list of the root, what to append to the name, and the object's values. */}}
{{- define "remote-job-exporter.monitorMetadata" -}}
{{- $root := index . 0 }}
{{- $own := pick (index . 2) "namespace" "annotations" }}
{{- $labels := merge (dict) ((index . 2).labels | default dict) ($root.Values.operatorLabels | default dict) }}
{{- include "remote-job-exporter.metadata" (list $root (index . 1) (set $own "labels" $labels)) }}
{{- end }}

{{/* The endpoint of a ServiceMonitor or PodMonitor: list of the root and the monitor's values. */}}
{{- define "remote-job-exporter.endpoint" -}}
{{- $root := index . 0 }}
{{- with index . 1 }}
port: http
scheme: {{ include "remote-job-exporter.scheme" $root }}
{{- if $root.Values.scrapeConfig.enabled }}
params:
  jobs: ["false"]
{{- end }}
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
honorLabels: {{ .honorLabels }}
{{- include "remote-job-exporter.proxied" (list $root "enableHttp2") }}
{{- include "remote-job-exporter.access" (list $root .) }}
{{- include "remote-job-exporter.relabelings" . }}
{{- end }}
{{- end }}

{{/* What is between Prometheus and the exporter: list of the root and the name of the field for HTTP/2. */}}
{{- define "remote-job-exporter.proxied" -}}
{{- $monitors := (index . 0).Values.monitors }}
{{- with $monitors.proxyUrl }}
proxyUrl: {{ . }}
{{- end }}
{{- with $monitors.enableHttp2 | toString }}
{{ index $ 1 }}: {{ . }}
{{- end }}
{{- end }}

{{- define "remote-job-exporter.relabelings" -}}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "remote-job-exporter.metricRelabelings" . }}
{{- end }}

{{- define "remote-job-exporter.metricRelabelings" -}}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Matchers of the exporter's own `up`. `job` is the Service's name with a ServiceMonitor, namespace and name with
a PodMonitor, the value of a label where `jobLabel` names one. */}}
{{- define "remote-job-exporter.scraped" -}}
{{- $namespace := include "remote-job-exporter.namespace" . }}
{{- $fullname := include "remote-job-exporter.fullname" . }}
{{- $labels := include "remote-job-exporter.labels" (list . (include "remote-job-exporter.serviceLabels" . | fromYaml)) | fromYaml }}
{{- $job := get $labels (.Values.serviceMonitor.jobLabel | default "") | default $fullname }}
{{- if .Values.podMonitor.enabled }}
{{- $labels = include "remote-job-exporter.labels" (list . .Values.podLabels) | fromYaml }}
{{- $name := printf "%s/%s" (.Values.podMonitor.namespace | default $namespace) $fullname }}
{{- $job = get $labels (.Values.podMonitor.jobLabel | default "") | default $name }}
{{- end }}
{{- if .Values.prometheusRule.job -}}
job=~{{ quote .Values.prometheusRule.job }}
{{- else -}}
job={{ quote $job }},namespace={{ quote $namespace }}
{{- end }}
{{- end }}
