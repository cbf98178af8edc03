{{- define "remote-job-exporter.container" -}}
- name: exporter
  image: {{ include "remote-job-exporter.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    {{- include "remote-job-exporter.args" . | nindent 4 }}
  {{- with include "remote-job-exporter.env" . | trim }}{{ nindent 2 . }}{{ end }}
  ports:
    - name: http
      containerPort: 10072
      protocol: TCP
  {{- $paths := dict "startupProbe" "/-/healthy" "livenessProbe" "/-/healthy" "readinessProbe" "/-/ready" }}
  {{- range $probe, $path := $paths }}
  {{- with get $.Values $probe }}
  {{ $probe }}:
    {{- include "remote-job-exporter.probe" (list $ . $path) | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with .Values.lifecycle }}
  lifecycle:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.securityContext | nindent 4 }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    {{- if include "remote-job-exporter.configured" . }}
    - name: config
      mountPath: /etc/remote-job-exporter/config
      readOnly: true
    {{- end }}
    {{- if include "remote-job-exporter.webConfigured" . }}
    - name: web
      mountPath: /etc/remote-job-exporter/web
      readOnly: true
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "remote-job-exporter.args" -}}
{{- if include "remote-job-exporter.configured" . -}}
- serve
- --config.file=/etc/remote-job-exporter/config
{{- if ne .Values.configReload.mode "none" }}
- --config.watch
{{- end }}
{{- if include "remote-job-exporter.webConfigured" . }}
- --web.config.file=/etc/remote-job-exporter/web/web-config.yaml
{{- end }}
- --web.timeout-offset={{ .Values.web.timeoutOffset }}
- --web.shutdown-timeout={{ .Values.web.shutdownTimeout }}
{{- if .Values.sharding.enabled }}
- --shard.index=auto
- --shard.count={{ .Values.replicas }}
{{- else if gt (int .Values.replicas) 1 }}
- --replica.count={{ .Values.replicas }}
{{- end }}
- --log.level={{ .Values.log.level }}
- --log.format={{ .Values.log.format }}
{{- else -}}
- demo
{{- end }}
- --web.listen-address=:10072
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "remote-job-exporter.env" -}}
{{- $env := list }}
{{- $own := .Values.extraEnv | default list }}
{{- $named := list }}
{{- range $own }}
{{- $named = append $named (get . "name") }}
{{- end }}
{{- range $key, $name := dict "http" "http_proxy" "https" "https_proxy" "none" "no_proxy" }}
{{- $value := get $.Values.proxy $key }}
{{- if and $value (not (has $name $named)) }}
{{- $env = append $env (dict "name" $name "value" $value) }}
{{- end }}
{{- end }}
{{- with concat $env $own }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
