{{/* Addresses that the exporter requests, as JSON: a list of {host, port}. */}}
{{- define "remote-job-exporter.addresses" -}}
{{- $lists := include "remote-job-exporter.lists" . | fromJson }}
{{- $urls := list .Values.proxy.http .Values.proxy.https }}
{{- range $system := get (.Values.config | default dict) "systems" | default dict }}
{{- range $key := $lists.addresses }}
{{- $urls = append $urls (get $system $key) }}
{{- end }}
{{- range $key := $lists.loginAddresses }}
{{- $urls = append $urls (get (get $system "auth" | default dict) $key) }}
{{- end }}
{{- end }}
{{- $addresses := list }}
{{- range compact $urls }}
{{- with urlParse . }}
{{- if .host }}
{{- $port := regexFind ":[0-9]+$" .host | trimPrefix ":" | default (eq .scheme "https" | ternary "443" "80") }}
{{- $addresses = append $addresses (dict "host" (lower .hostname) "port" $port) }}
{{- end }}
{{- end }}
{{- end }}
{{- uniq $addresses | toJson }}
{{- end }}

{{/* Egress ports, as JSON: those of the values and those of addresses. */}}
{{- define "remote-job-exporter.egressPorts" -}}
{{- $ports := list }}
{{- range .Values.networkPolicy.egress.ports }}
{{- $ports = append $ports (int .) }}
{{- end }}
{{- range include "remote-job-exporter.addresses" . | fromJsonArray }}
{{- $ports = append $ports (int .port) }}
{{- end }}
{{- uniq $ports | toJson }}
{{- end }}

{{/* Egress rules of Cilium, as JSON: one for each address, and one for the hosts of the values. */}}
{{- define "remote-job-exporter.hostRules" -}}
{{- $rules := list }}
{{- range include "remote-job-exporter.addresses" . | fromJsonArray }}
{{- $ports := list (dict "ports" (list (dict "port" .port "protocol" "TCP"))) }}
{{- if contains ":" .host }}
{{- $rules = append $rules (dict "toCIDR" (list (printf "%s/128" .host)) "toPorts" $ports) }}
{{- else if regexMatch "^[0-9.]+$" .host }}
{{- $rules = append $rules (dict "toCIDR" (list (printf "%s/32" .host)) "toPorts" $ports) }}
{{- else if regexMatch "(^[^.]+|[.]svc|[.]cluster[.]local)[.]?$" .host }}
{{- /* Names do not apply to pods, and ports are those behind the Service, which this chart does not know. */}}
{{- $rules = append $rules (dict "toEntities" (list "cluster" "kube-apiserver")) }}
{{- else }}
{{- $rules = append $rules (dict "toFQDNs" (list (dict "matchName" .host)) "toPorts" $ports) }}
{{- end }}
{{- end }}
{{- $names := list }}
{{- range .Values.networkPolicy.egress.hosts }}
{{- $names = append $names (dict (contains "*" . | ternary "matchPattern" "matchName") .) }}
{{- end }}
{{- $ports := list }}
{{- range .Values.networkPolicy.egress.ports }}
{{- $ports = append $ports (dict "port" (toString .) "protocol" "TCP") }}
{{- end }}
{{- if $names }}
{{- $rules = append $rules (dict "toFQDNs" $names "toPorts" (list (dict "ports" $ports))) }}
{{- end }}
{{- uniq $rules | toJson }}
{{- end }}

{{/* Those of the pod of `helm test`, which no Service may select. */}}
{{- define "remote-job-exporter.testLabels" -}}
app.kubernetes.io/name: {{ include "remote-job-exporter.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}
