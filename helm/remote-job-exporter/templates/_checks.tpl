{{/* Checks that the schema cannot express. */}}
{{- define "remote-job-exporter.validate" -}}
{{- if not (include "remote-job-exporter.configured" .) }}
{{- if or .Values.sharding.enabled (include "remote-job-exporter.webConfigured" .) }}
{{- fail "sharding and webConfig need a configuration: set config, existingConfigMap or existingSecret" }}
{{- end }}
{{- else if not (or (get (.Values.config | default dict) "systems") .Values.existingConfigMap.name .Values.existingSecret.name) }}
{{- fail "config has no systems: set config.systems, existingConfigMap or existingSecret" }}
{{- end }}
{{- if le (float64 .Values.terminationGracePeriodSeconds) (float64 .Values.web.shutdownTimeout) }}
{{- fail "terminationGracePeriodSeconds must be longer than web.shutdownTimeout" }}
{{- end }}
{{- with .Values.webConfig }}
{{- if and .tls.enabled (not (or .tls.secretName .existingSecret.name (hasKey (.config | default dict) "tls_server_config"))) }}
{{- fail "webConfig.tls.enabled needs a certificate: set webConfig.tls.secretName, config or existingSecret" }}
{{- end }}
{{- end }}
{{- if .Values.monitors.authorization }}
{{- range $key := list "serviceMonitor" "podMonitor" "probe" "scrapeConfig" }}
{{- if or $.Values.webConfig.basicAuth.secretName (get $.Values $key).basicAuth }}
{{- fail "monitors.authorization excludes webConfig.basicAuth and the basicAuth of monitors: Prometheus sends one of them" }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.networkPolicy }}
{{- $existing := or $.Values.existingConfigMap.name $.Values.existingSecret.name }}
{{- if and .enabled (eq .flavor "cilium") $existing (not (or .egress.hosts .egress.to .egress.extra)) }}
{{- fail "networkPolicy.flavor cilium: the chart does not know the addresses in existingConfigMap and existingSecret; set their hosts in networkPolicy.egress.hosts" }}
{{- end }}
{{- end }}
{{- $files := list }}
{{- range .Values.credentials }}
{{- $files = append $files (get . "name" | default .key) }}
{{- end }}
{{- range .Values.externalSecret.enabled | ternary .Values.externalSecret.data list }}
{{- $files = append $files .secretKey }}
{{- end }}
{{- if ne (len $files) (uniq $files | len) }}
{{- fail (printf "credentials: two entries have the same file name; set another `name` for one: %s" (join " " $files)) }}
{{- end }}
{{- $existing := pick .Values "existingConfigMap" "existingSecret" }}
{{- $sources := .Values.config | empty | ternary list (list "config") }}
{{- range $key, $from := $existing }}
{{- $sources = $from.name | empty | ternary $sources (append $sources $key) }}
{{- end }}
{{- range $key, $from := gt (len $sources) 1 | ternary $existing dict }}
{{- if and $from.name (not $from.key) }}
{{- fail (printf "%s.key is required beside %s: files of the same name would replace each other" $key (without $sources $key | join " and ")) }}
{{- end }}
{{- end }}
{{- end }}
