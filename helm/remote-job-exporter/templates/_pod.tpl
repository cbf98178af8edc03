{{/* The pod template of the Deployment or StatefulSet. */}}
{{- define "remote-job-exporter.pod" -}}
{{- include "remote-job-exporter.validate" . -}}
metadata:
  labels:
    {{- include "remote-job-exporter.labels" (list . .Values.podLabels) | nindent 4 }}
  annotations:
    {{- $annotations := include "remote-job-exporter.checksums" . | fromYaml }}
    {{- $_ := set $annotations "kubectl.kubernetes.io/default-container" "exporter" }}
    {{- toYaml (mergeOverwrite $annotations (.Values.podAnnotations | default dict)) | nindent 4 }}
spec:
  serviceAccountName: {{ include "remote-job-exporter.serviceAccountName" . | quote }}
  automountServiceAccountToken: {{ .Values.automountServiceAccountToken }}
  {{- /* Variables of Services would have the prefix of the exporter's own. */}}
  enableServiceLinks: false
  {{- with .Values.hostUsers | toString }}
  hostUsers: {{ . }}
  {{- end }}
  {{- with include "remote-job-exporter.imagePullSecrets" . | trim }}{{ nindent 2 . }}{{ end }}
  {{- with include "remote-job-exporter.scheduling" . | trim }}{{ nindent 2 . }}{{ end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ toYaml . | nindent 6 | trim }}
      {{- if not (hasKey . "labelSelector") }}
      labelSelector:
        matchLabels:
          {{- include "remote-job-exporter.selectorLabels" $ | nindent 10 }}
      {{- end }}
    {{- end }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    {{- include "remote-job-exporter.container" . | nindent 4 }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "remote-job-exporter.volumes" . | nindent 4 }}
{{- end }}

{{/* Annotations that restart the pods when they change. The exporter cannot add or remove TLS, or remove users, while it
runs, so the keys of the web configuration count in every mode. */}}
{{- define "remote-job-exporter.checksums" -}}
{{- $all := eq .Values.configReload.mode "checksum" }}
{{- if and .Values.config $all }}
checksum/config: {{ toYaml .Values.config | sha256sum }}
{{- end }}
{{- if and (include "remote-job-exporter.webConfigured" .) (not .Values.webConfig.existingSecret.name) }}
{{- $web := include "remote-job-exporter.webConfig" . }}
checksum/web-config: {{ $all | ternary $web (fromYaml $web | keys | sortAlpha | join " ") | sha256sum }}
{{- end }}
{{- end }}

{{/* Scheduling and name resolution of pods. */}}
{{- define "remote-job-exporter.scheduling" -}}
{{- $keys := list "nodeSelector" "tolerations" "affinity" "priorityClassName" "runtimeClassName" }}
{{- $keys = concat $keys (list "schedulerName" "dnsPolicy" "dnsConfig" "hostAliases") }}
{{- range $key := $keys }}
{{- with get $.Values $key }}
{{ dict $key . | toYaml }}
{{- end }}
{{- end }}
{{- end }}
