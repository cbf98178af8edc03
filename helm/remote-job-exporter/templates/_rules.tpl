{{/* The groups of files/rules.yaml, adapted to this release. They are changed as text and data, never rendered: the
templates in them are Prometheus's. */}}
{{- define "remote-job-exporter.rules" -}}
{{- $own := .Values.prometheusRule }}
{{- $disabled := $own.disabled | default dict }}
{{- $overrides := $own.overrides | default dict }}
{{- $groups := (include "remote-job-exporter.rulesText" . | fromYaml).groups }}
{{- $up := include "remote-job-exporter.scraped" . }}
{{- $known := dict }}
{{- $fitted := list }}
{{- range $group := $groups }}
{{- $rules := list }}
{{- range $rule := $group.rules }}
{{- $alert := get $rule "alert" }}
{{- $_ := set $known $alert true }}
{{- if and (eq $own.scope "release") (not (contains $up $rule.expr)) }}
{{- /* Those of another release cover this one. */}}
{{- else if not $alert }}
{{- $rules = append $rules $rule }}
{{- else if not (get $disabled $alert) }}
{{- $rules = append $rules (include "remote-job-exporter.alert" (list $own (get $overrides $alert) $rule) | fromYaml) }}
{{- end }}
{{- end }}
{{- with $own.interval }}{{ $_ := set $group "interval" . }}{{ end }}
{{- $fitted = append $fitted (set $group "rules" $rules) }}
{{- end }}
{{- range $name := concat (keys $disabled) (keys $overrides) }}
{{- if not (hasKey $known $name) }}
{{- fail (printf "prometheusRule: there is no alert %s; there are: %s" $name (keys $known | sortAlpha | join " ")) }}
{{- end }}
{{- end }}
{{- with $own.extraRules }}
{{- $fitted = append $fitted (dict "name" "remote-job-exporter-extra" "rules" .) }}
{{- end }}
{{- toYaml $fitted }}
{{- end }}

{{/* The file, with the addresses and labels of this release. Alerts that count exporters keep `namespace` and drop
`instance`, whatever `droppedLabels` are. */}}
{{- define "remote-job-exporter.rulesText" -}}
{{- $own := .Values.prometheusRule }}
{{- $exporters := prepend $own.droppedLabels "instance" | uniq }}
{{- $runbooks := "https://github.com/remote-job-exporter/remote-job-exporter/blob/main/docs/on-call/alerts/" }}
{{- include "remote-job-exporter.dashboardLinks" (list . (.Files.Get "files/rules.yaml"))
  | replace $runbooks (printf "%s/" (trimSuffix "/" $own.runbookUrl))
  | replace "instance, pod, container, endpoint, service, namespace" "DROPPED_LABELS"
  | replace "instance, pod, container, endpoint, service" (without $exporters "namespace" | join ", ")
  | replace "DROPPED_LABELS" (join ", " $own.droppedLabels)
  | replace "job=~\".*remote-job-exporter.*\"" (include "remote-job-exporter.scraped" .) }}
{{- end }}

{{/* One alert: list of the values, its overrides, if any, and the rule. */}}
{{- define "remote-job-exporter.alert" -}}
{{- $own := index . 0 }}
{{- $change := index . 1 | default dict }}
{{- $rule := index . 2 }}
{{- $labels := mergeOverwrite (dict) $rule.labels ($own.ruleLabels | default dict) }}
{{- $labels = mergeOverwrite $labels (pick $change "severity") (get $change "labels" | default dict) }}
{{- $annotations := deepCopy $rule.annotations }}
{{- if $own.dashboardUrl }}
{{- $base := printf "%s/" (trimSuffix "/" $own.dashboardUrl) }}
{{- $_ := set $annotations "dashboard_url" (replace "https://grafana.example.com/d/" $base $annotations.dashboard_url) }}
{{- else }}
{{- $annotations = omit $annotations "dashboard_url" }}
{{- end }}
{{- $annotations = mergeOverwrite $annotations ($own.ruleAnnotations | default dict) }}
{{- $annotations = mergeOverwrite $annotations (get $change "annotations" | default dict) }}
{{- $keep := empty $own.keepFiringFor | ternary dict (dict "keep_firing_for" $own.keepFiringFor) }}
{{- $changed := mergeOverwrite $keep $rule (pick $change "expr" "for" "keep_firing_for") }}
{{- toYaml (set (set $changed "labels" $labels) "annotations" $annotations) }}
{{- end }}
