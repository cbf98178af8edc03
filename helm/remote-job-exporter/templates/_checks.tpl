{{/* Fails with every error that the schema cannot express, or whose message would quote a secret. */}}
{{- define "remote-job-exporter.validate" -}}
{{- $errors := list }}
{{- range $check := list "values" "exclusions" "names" "monitors" "sources" "web" "config" }}
{{- $errors = append $errors (include (printf "remote-job-exporter.%sErrors" $check) $ | trim) }}
{{- end }}
{{- with compact $errors }}
{{- fail (printf "\n%s" (join "\n" .)) }}
{{- end }}
{{- end }}

{{/* These and the other checks: a line for each error. */}}
{{- define "remote-job-exporter.valuesErrors" -}}
{{- if le (float64 .Values.terminationGracePeriodSeconds) (float64 .Values.web.shutdownTimeout) }}
terminationGracePeriodSeconds must be longer than web.shutdownTimeout
{{- end }}
{{- if regexMatch "[:@]" (base .Values.image.repository) }}
image.repository contains a tag or a digest: set image.tag or image.digest instead
{{- end }}
{{- range $key := list "registry" "repository" }}
{{- if contains "://" (get $.Values.image $key) }}
image.{{ $key }} contains a scheme: remove it
{{- end }}
{{- end }}
{{- range .Values.extraEnv }}
{{- $value := get . "value" }}
{{- if not (or (kindIs "string" $value) (kindIs "invalid" $value)) }}
extraEnv: the value of {{ get . "name" }} is a {{ kindIs "bool" $value | ternary "boolean" "number" }}, but environment variables are text: write it in quotes
{{- end }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
ingress.enabled needs ingress.hosts
{{- end }}
{{- if and .Values.route.main.enabled (not .Values.route.main.parentRefs) }}
route.main.enabled needs route.main.parentRefs: the gateways
{{- end }}
{{- if and .Values.probe.enabled (not .Values.probe.targets) }}
probe.enabled needs probe.targets: the jobs
{{- end }}
{{- with .Values.networkPolicy }}
{{- $existing := or $.Values.existingConfigMap.name $.Values.existingSecret.name }}
{{- if and .enabled (eq .flavor "cilium") $existing (not (or .egress.hosts .egress.to .egress.extra)) }}
networkPolicy.flavor cilium: the chart does not know the addresses in existingConfigMap and existingSecret: set their hosts in networkPolicy.egress.hosts
{{- end }}
{{- end }}
{{- end }}

{{/* Values that exclude each other, and why. */}}
{{- define "remote-job-exporter.exclusionsErrors" -}}
{{- if .Values.sharding.enabled }}
{{- if ne .Values.kind "StatefulSet" }}
sharding.enabled needs kind: StatefulSet, because the number of a shard is the one at the end of the name of its pod
{{- end }}
{{- if or (lt (int .Values.replicas) 1) (gt (int .Values.replicas) 1024) }}
sharding.enabled needs 1 to 1024 replicas, the number of shards
{{- end }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
serviceMonitor and podMonitor exclude each other: Prometheus would scrape each pod twice, and alerts would count each job twice
{{- end }}
{{- with .Values.dashboards }}
{{- if and .grafanaOperator.enabled (not .enabled) }}
dashboards.grafanaOperator.enabled needs dashboards.enabled, because a GrafanaDashboard refers to the ConfigMap
{{- end }}
{{- if and .grafanaOperator.folderUID .grafanaOperator.folderRef }}
dashboards.grafanaOperator.folderUID and folderRef exclude each other, because a dashboard is in one folder
{{- end }}
{{- end }}
{{- if .Values.monitors.authorization }}
{{- $users := list .Values.webConfig.basicAuth.secretName }}
{{- range $key := list "serviceMonitor" "podMonitor" "probe" "scrapeConfig" }}
{{- $users = append $users (get $.Values $key).basicAuth }}
{{- end }}
{{- if compact $users }}
monitors.authorization excludes webConfig.basicAuth and the basicAuth of monitors, because Prometheus sends one of them
{{- end }}
{{- end }}
{{- end }}

{{/* Names of objects. */}}
{{- define "remote-job-exporter.namesErrors" -}}
{{- $names := pick .Values "nameOverride" "fullnameOverride" "namespaceOverride" }}
{{- range $key := list "serviceAccount" "existingConfigMap" "existingSecret" }}
{{- $_ := set $names (printf "%s.name" $key) (get $.Values $key).name }}
{{- end }}
{{- range $key := list "serviceMonitor" "podMonitor" "probe" "scrapeConfig" "prometheusRule" "dashboards" }}
{{- $_ := set $names (printf "%s.namespace" $key) (get $.Values $key).namespace }}
{{- end }}
{{- with .Values.webConfig }}
{{- $_ := set $names "webConfig.existingSecret.name" .existingSecret.name }}
{{- $_ := set $names "webConfig.tls.secretName" .tls.secretName }}
{{- $_ := set $names "webConfig.basicAuth.secretName" .basicAuth.secretName }}
{{- end }}
{{- range $index, $one := .Values.credentials }}
{{- $_ := set $names (printf "credentials[%d].secretName" $index) $one.secretName }}
{{- end }}
{{- range $index, $one := .Values.probe.targets }}
{{- $_ := set $names (printf "probe.targets[%d].name" $index) $one.name }}
{{- end }}
{{- range $place, $name := $names }}
{{- if and $name (not (regexMatch "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" $name)) }}
{{ $place }}: {{ $name | quote }} is not a name in Kubernetes: allowed are a-z 0-9 - and, not at the ends, dots
{{- end }}
{{- end }}
{{- end }}

{{- define "remote-job-exporter.monitorsErrors" -}}
{{- if not (regexMatch "^((https?|socks5)://.+)?$" .Values.monitors.proxyUrl) }}
monitors.proxyUrl: the scheme must be http, https or socks5
{{- end }}
{{- $known := list "action" "sourceLabels" "separator" "regex" "modulus" "targetLabel" "replacement" }}
{{- range $monitor := list "serviceMonitor" "podMonitor" "probe" "scrapeConfig" }}
{{- $own := get $.Values $monitor }}
{{- if and $own.interval $own.scrapeTimeout }}
{{- if gt (include "remote-job-exporter.milliseconds" $own.scrapeTimeout | int64) (include "remote-job-exporter.milliseconds" $own.interval | int64) }}
{{ $monitor }}.scrapeTimeout {{ $own.scrapeTimeout }} is longer than its interval {{ $own.interval }}, which Prometheus rejects
{{- end }}
{{- end }}
{{- range $list := list "relabelings" "metricRelabelings" }}
{{- range get $own $list | default list }}
{{- range $key := keys . | sortAlpha }}
{{- if has (camelcase $key | untitle) (without $known $key) }}
{{ $monitor }}.{{ $list }}: {{ $key }} is a key of prometheus.yml; the operator has {{ camelcase $key | untitle }}
{{- else if not (has $key $known) }}
{{ $monitor }}.{{ $list }}: unknown key {{ $key }}; allowed: {{ join ", " $known }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* A duration of Prometheus in milliseconds. */}}
{{- define "remote-job-exporter.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 "y" 31536000000 }}
{{- $sum := 0 }}
{{- range regexFindAll "[0-9]+[a-z]+" . -1 }}
{{- $sum = add $sum (mul (regexFind "[0-9]+" . | int64) (get $units (regexFind "[a-z]+" .) | int64)) }}
{{- end }}
{{- $sum }}
{{- end }}

{{/* Where configuration and credentials are from. */}}
{{- define "remote-job-exporter.sourcesErrors" -}}
{{- if not (include "remote-job-exporter.configured" .) }}
{{- if or .Values.sharding.enabled (include "remote-job-exporter.webConfigured" .) }}
sharding and webConfig need a configuration: set config, existingConfigMap or existingSecret
{{- end }}
{{- else if not (or (get (.Values.config | default dict) "systems") .Values.existingConfigMap.name .Values.existingSecret.name) }}
config has no systems: set config.systems, existingConfigMap or existingSecret
{{- end }}
{{- $files := include "remote-job-exporter.credentialFiles" . | fromJsonArray }}
{{- if ne (len $files) (uniq $files | len) }}
credentials: two entries have the same file name; set another `name` for one: {{ join " " $files }}
{{- end }}
{{- with .Values.externalSecret }}
{{- if and .enabled (not .secretStoreRef.name) }}
externalSecret.enabled needs externalSecret.secretStoreRef.name
{{- end }}
{{- if and .enabled (not (or .data .dataFrom)) }}
externalSecret.enabled needs externalSecret.data or externalSecret.dataFrom
{{- end }}
{{- end }}
{{- $existing := pick .Values "existingConfigMap" "existingSecret" }}
{{- $sources := .Values.config | empty | ternary list (list "config") }}
{{- range $key, $from := $existing }}
{{- $sources = $from.name | empty | ternary $sources (append $sources $key) }}
{{- end }}
{{- range $key, $from := gt (len $sources) 1 | ternary $existing dict }}
{{- if and $from.name (not $from.key) }}
{{ $key }}.key is required beside {{ without $sources $key | join " and " }}: files of the same name would replace each other
{{- end }}
{{- end }}
{{- end }}

{{/* Names of the files below credentials/, as JSON. */}}
{{- define "remote-job-exporter.credentialFiles" -}}
{{- $files := list }}
{{- range .Values.credentials }}
{{- $files = append $files (get . "name" | default .key) }}
{{- end }}
{{- range .Values.externalSecret.enabled | ternary .Values.externalSecret.data list }}
{{- $files = append $files .secretKey }}
{{- end }}
{{- toJson $files }}
{{- end }}

{{- define "remote-job-exporter.webErrors" -}}
{{- $lists := include "remote-job-exporter.lists" . | fromJson }}
{{- with .Values.webConfig }}
{{- $config := .config | default dict }}
{{- $tls := get $config "tls_server_config" }}
{{- if and .existingSecret.name $config }}
webConfig.config and webConfig.existingSecret exclude each other, because the exporter reads one web configuration
{{- end }}
{{- if and .tls.enabled (not (or .tls.secretName .existingSecret.name $tls)) }}
webConfig.tls.enabled needs a certificate: set webConfig.tls.secretName, config or existingSecret
{{- end }}
{{- range $user, $hash := get $config "basic_auth_users" | default dict }}
{{- if contains ":" $user }}
webConfig.config.basic_auth_users: the name {{ $user | quote }} contains a colon
{{- end }}
{{- if not (regexMatch $lists.hash $hash) }}
webConfig.config.basic_auth_users: the value of {{ $user }} is not a bcrypt hash; allowed is what htpasswd -nBC 10 prints after the colon
{{- end }}
{{- end }}
{{- range $key := .tls.secretName | empty | ternary $lists.webFiles list }}
{{- $path := get ($tls | default dict) $key | default "" }}
{{- if and $path (not (hasPrefix "/" $path)) }}
webConfig.config.tls_server_config.{{ $key }}: the pod has no file {{ $path }}; set webConfig.tls.secretName
{{- end }}
{{- end }}
{{- end }}
{{- end }}
