{{/* One volume contains configuration and credentials: the kubelet replaces all of it together, and a path in the
configuration begins at its folder. */}}
{{- define "remote-job-exporter.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- if include "remote-job-exporter.configured" . }}
- name: config
  projected:
    {{- /* 0440: fsGroup may read, others not. */}}
    defaultMode: 0440
    sources:
      {{- include "remote-job-exporter.configSources" . | fromYamlArray | toYaml | nindent 6 }}
{{- end }}
{{- if include "remote-job-exporter.webConfigured" . }}
- name: web
  projected:
    defaultMode: 0440
    sources:
      {{- include "remote-job-exporter.webSources" . | fromYamlArray | toYaml | nindent 6 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "remote-job-exporter.configSources" -}}
{{- $fullname := include "remote-job-exporter.fullname" . }}
{{- if .Values.config }}
- {{ .Values.configInSecret | ternary "secret" "configMap" }}:
    name: {{ $fullname | quote }}
{{- end }}
{{- range $kind, $from := dict "configMap" .Values.existingConfigMap "secret" .Values.existingSecret }}
{{- if $from.name }}
- {{ $kind }}:
    name: {{ $from.name | quote }}
    {{- with $from.key }}
    items:
      - key: {{ . | quote }}
        path: {{ $kind | kebabcase }}.yaml
    {{- end }}
{{- end }}
{{- end }}
{{- range .Values.credentials }}
- secret:
    name: {{ .secretName | quote }}
    items:
      - key: {{ .key | quote }}
        path: credentials/{{ get . "name" | default .key }}
{{- end }}
{{- if and .Values.externalSecret.enabled .Values.externalSecret.data }}
- secret:
    name: {{ $fullname }}-credentials
    items:
      {{- range .Values.externalSecret.data }}
      - key: {{ .secretKey | quote }}
        path: credentials/{{ .secretKey }}
      {{- end }}
{{- end }}
{{- end }}

{{- define "remote-job-exporter.webSources" -}}
{{- with .Values.webConfig }}
{{- with .tls.secretName }}
- secret:
    name: {{ . | quote }}
{{- end }}
{{- /* The last of two files with the same name counts. */}}
- secret:
    name: {{ .existingSecret.name | default (printf "%s-web" (include "remote-job-exporter.fullname" $)) | quote }}
    items:
      - key: {{ empty .existingSecret.name | ternary "web-config.yaml" .existingSecret.key | quote }}
        path: web-config.yaml
{{- end }}
{{- end }}
