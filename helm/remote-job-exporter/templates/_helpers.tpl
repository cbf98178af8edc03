{{/* Names. 50 characters allow for suffixes of Kubernetes and of this chart. */}}
{{- define "remote-job-exporter.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "remote-job-exporter.fullname" -}}
{{- $name := include "remote-job-exporter.name" . }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $full | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "remote-job-exporter.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace }}
{{- end }}

{{/* The address of the Service, valid in every namespace. */}}
{{- define "remote-job-exporter.host" -}}
{{- include "remote-job-exporter.fullname" . }}.{{ include "remote-job-exporter.namespace" . }}.svc
{{- end }}

{{- define "remote-job-exporter.serviceAccountName" -}}
{{- $own := .Values.serviceAccount.create | ternary (include "remote-job-exporter.fullname" .) "default" }}
{{- .Values.serviceAccount.name | default $own }}
{{- end }}

{{/* Labels. Only these two select: they never change between versions. */}}
{{- define "remote-job-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "remote-job-exporter.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* All labels of an object: list of the root and its own ones, which override `commonLabels`. */}}
{{- define "remote-job-exporter.labels" -}}
{{- $root := index . 0 }}
{{- $labels := include "remote-job-exporter.selectorLabels" $root | fromYaml }}
{{- $labels = merge $labels (include "remote-job-exporter.chartLabels" $root | fromYaml) }}
{{- toYaml (merge $labels (index . 1 | default dict) ($root.Values.commonLabels | default dict)) }}
{{- end }}

{{- define "remote-job-exporter.chartLabels" -}}
{{- toYaml (dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/part-of" "remote-job-exporter"
  "app.kubernetes.io/managed-by" .Release.Service) }}
{{- end }}

{{/* Labels of the Service: they distinguish it from the headless one, so that each pod is scraped once. */}}
{{- define "remote-job-exporter.serviceLabels" -}}
{{- toYaml (merge (dict "app.kubernetes.io/component" "metrics") (.Values.service.labels | default dict)) }}
{{- end }}

{{/* `metadata` of an object: list of the root, what to append to the name, and a map that can contain the object's own
name, namespace, labels and annotations. */}}
{{- define "remote-job-exporter.metadata" -}}
{{- $root := index . 0 }}
{{- $own := index . 2 -}}
name: {{ get $own "name" | default (printf "%s%s" (include "remote-job-exporter.fullname" $root) (index . 1)) | quote }}
namespace: {{ get $own "namespace" | default (include "remote-job-exporter.namespace" $root) | quote }}
labels:
  {{- include "remote-job-exporter.labels" (list $root (get $own "labels")) | nindent 2 }}
{{- with get $own "annotations" }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "remote-job-exporter.image" -}}
{{- $registry := .Values.global.imageRegistry | default .Values.image.registry }}
{{- with $registry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}
{{- else }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "remote-job-exporter.imagePullSecrets" -}}
{{- with concat (.Values.global.imagePullSecrets | default list) (.Values.imagePullSecrets | default list) }}
imagePullSecrets:
  {{- range . }}
  - {{ kindIs "string" . | ternary (dict "name" .) . | toYaml }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Not empty if there is a configuration; else the exporter runs its demo. */}}
{{- define "remote-job-exporter.configured" -}}
{{- if or .Values.config .Values.existingConfigMap.name .Values.existingSecret.name }}true{{ end }}
{{- end }}
