{{/* The file of a dashboard in Grafana: list of the root and the path in this chart. */}}
{{- define "remote-job-exporter.dashboardFile" -}}
{{- $suffix := (index . 0).Values.dashboards.suffix }}
{{- $name := printf "remote-job-%s" (base (index . 1) | trimSuffix ".json") }}
{{- empty $suffix | ternary $name (printf "%s-%s" $name $suffix) }}.json
{{- end }}

{{/* A text with links to dashboards, which lead to those of this release: list of the root and the text. */}}
{{- define "remote-job-exporter.dashboardLinks" -}}
{{- $suffix := (index . 0).Values.dashboards.suffix }}
{{- $link := empty $suffix | ternary "${1}" (printf "${1}-%s" $suffix) }}
{{- regexReplaceAll "(/d/remote-job-[a-z]+)" (index . 1) $link }}
{{- end }}
