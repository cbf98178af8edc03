{{/* Not empty if a web configuration is used. */}}
{{- define "remote-job-exporter.webConfigured" -}}
{{- with .Values.webConfig }}
{{- if or .config .existingSecret.name .tls.secretName }}true{{ end }}
{{- end }}
{{- end }}

{{/* Not empty if HTTPS is enabled. */}}
{{- define "remote-job-exporter.tls" -}}
{{- with .Values.webConfig }}
{{- if or .tls.enabled .tls.secretName (hasKey (.config | default dict) "tls_server_config") }}true{{ end }}
{{- end }}
{{- end }}

{{/* Not empty if only clients with a certificate are accepted. */}}
{{- define "remote-job-exporter.clientCertificates" -}}
{{- $type := dig "tls_server_config" "client_auth_type" "" (.Values.webConfig.config | default dict) }}
{{- if eq $type "RequireAndVerifyClientCert" }}true{{ end }}
{{- end }}

{{- define "remote-job-exporter.scheme" -}}
{{ include "remote-job-exporter.tls" . | empty | ternary "http" "https" }}
{{- end }}

{{/* The text of a web configuration from the values; the files of the TLS Secret are beside it. */}}
{{- define "remote-job-exporter.webConfig" -}}
{{- $config := .Values.webConfig.config | default dict | deepCopy }}
{{- if .Values.webConfig.tls.secretName }}
{{- $pair := dict "cert_file" "tls.crt" "key_file" "tls.key" }}
{{- $config = mergeOverwrite (dict "tls_server_config" $pair) $config }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* A probe: list of the root, its values and its path. The kubelet has no client certificate, so if one is
required, the probe only connects. */}}
{{- define "remote-job-exporter.probe" -}}
{{- $root := index . 0 }}
{{- $probe := index . 1 }}
{{- $get := dict "path" (index . 2) "port" "http" "scheme" (include "remote-job-exporter.scheme" $root | upper) }}
{{- $handler := dict "httpGet" $get }}
{{- if include "remote-job-exporter.clientCertificates" $root }}
{{- $handler = dict "tcpSocket" (dict "port" "http") }}
{{- end }}
{{- if or (hasKey $probe "httpGet") (hasKey $probe "tcpSocket") (hasKey $probe "exec") }}
{{- $handler = dict }}
{{- end }}
{{- toYaml (merge (deepCopy $probe) $handler) }}
{{- end }}

{{/* Access of Prometheus: list of the root and a monitor's values, which override those from `webConfig`. */}}
{{- define "remote-job-exporter.access" -}}
{{- $root := index . 0 }}
{{- $own := index . 1 }}
{{- $web := $root.Values.webConfig }}
{{- $tls := dict }}
{{- with $web.tls.secretName }}
{{- $tls = dict "serverName" (include "remote-job-exporter.host" $root) }}
{{- with $web.tls.caKey }}
{{- $tls = merge $tls (dict "ca" (dict "secret" (dict "name" $web.tls.secretName "key" .))) }}
{{- end }}
{{- end }}
{{- with $own.tlsConfig | default $tls }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $user := dict }}
{{- with $web.basicAuth }}
{{- if .secretName }}
{{- $name := dict "name" .secretName "key" .usernameKey }}
{{- $user = dict "username" $name "password" (dict "name" .secretName "key" .passwordKey) }}
{{- end }}
{{- end }}
{{- if $root.Values.monitors.authorization }}
authorization:
  {{- toYaml $root.Values.monitors.authorization | nindent 2 }}
{{- else }}
{{- with $own.basicAuth | default $user }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
