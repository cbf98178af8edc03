{{/* Egress ports, as JSON: those of the values and those in addresses. */}}
{{- define "remote-job-exporter.egressPorts" -}}
{{- $addresses := list .Values.proxy.http .Values.proxy.https }}
{{- range $system := get (.Values.config | default dict) "systems" | default dict }}
{{- $login := get $system "auth" | default dict }}
{{- $addresses = append $addresses (get $system "base_url") }}
{{- $addresses = append $addresses (get $system "proxy_url") }}
{{- $addresses = append $addresses (get $login "token_url") }}
{{- end }}
{{- $ports := list }}
{{- range .Values.networkPolicy.egress.ports }}
{{- $ports = append $ports (int .) }}
{{- end }}
{{- range compact $addresses }}
{{- with regexFind ":[0-9]+$" (urlParse .).host }}
{{- $ports = append $ports (trimPrefix ":" . | int) }}
{{- end }}
{{- end }}
{{- uniq $ports | toJson }}
{{- end }}

{{/* Those of the pod of `helm test`, which no Service may select. */}}
{{- define "remote-job-exporter.testLabels" -}}
app.kubernetes.io/name: {{ include "remote-job-exporter.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}
