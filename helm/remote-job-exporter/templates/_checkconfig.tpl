{{/* Checks of `config`, as the exporter would make them. Its keys are those of _exporter.tpl. */}}
{{- define "remote-job-exporter.configErrors" -}}
{{- $lists := include "remote-job-exporter.lists" . | fromJson }}
{{- $environment := "use a variable of extraEnv from a Secret" }}
{{- range $key := list "http" "https" }}
{{- include "remote-job-exporter.addressErrors" (list (printf "proxy.%s" $key) (get $.Values.proxy $key) $environment) }}
{{- end }}
{{- range $name, $system := get (.Values.config | default dict) "systems" | default dict }}
{{- $place := printf "config.systems.%s" $name }}
{{- $login := get $system "auth" | default dict }}
{{- range $key := $lists.addresses }}
{{- $hint := eq $key "proxy_url" | ternary $environment "credentials belong under auth" }}
{{- include "remote-job-exporter.addressErrors" (list (printf "%s.%s" $place $key) (get $system $key) $hint) }}
{{- end }}
{{- range $key := $lists.loginAddresses }}
{{- include "remote-job-exporter.addressErrors" (list (printf "%s.auth.%s" $place $key) (get $login $key) "credentials belong under auth") }}
{{- end }}
{{- range $path := include "remote-job-exporter.configFiles" (list $ $system) | fromJsonArray }}
{{- include "remote-job-exporter.fileErrors" (list $ $place $path) }}
{{- end }}
{{- include "remote-job-exporter.jobsErrors" (list $lists $place $system) }}
{{- end }}
{{- end }}

{{/* List of a place, an address, and where a password belongs. No message quotes the address. */}}
{{- define "remote-job-exporter.addressErrors" -}}
{{- $place := index . 0 }}
{{- $address := index . 1 | default "" }}
{{- if and $address (not (hasPrefix "/" $address)) }}
{{- if not (regexMatch "^https?://" $address) }}
{{ $place }}: the scheme must be http or https
{{- else if contains "@" (regexFind "^https?://[^/?#]*" $address) }}
{{ $place }} must not contain a user name or password; {{ index . 2 }}
{{- else if not (regexMatch "^https?://([^][:/?#\\s]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?(/[^?#\\s]*)?$" $address) }}
{{ $place }} is not an address; allowed is http://HOST[:PORT][/PATH] or https://…
{{- else if regexMatch "/[.]{1,2}(/|$)" $address }}
{{ $place }} must not contain the path segments . or ..
{{- end }}
{{- end }}
{{- end }}

{{/* Paths of the files that a system names, in the folder of the configuration or absolute, as JSON: list of the root
and the system. */}}
{{- define "remote-job-exporter.configFiles" -}}
{{- $lists := include "remote-job-exporter.lists" (index . 0) | fromJson }}
{{- $system := index . 1 }}
{{- $paths := list }}
{{- range $key := $lists.files }}
{{- $paths = append $paths (get (get $system "tls" | default dict) $key) }}
{{- end }}
{{- range include "remote-job-exporter.secrets" (list (index . 0) $system "file") | fromJsonArray }}
{{- $paths = append $paths . }}
{{- end }}
{{- $cleaned := list }}
{{- range compact $paths }}
{{- $cleaned = append $cleaned (clean . | trimPrefix "/etc/remote-job-exporter/config/") }}
{{- end }}
{{- uniq $cleaned | toJson }}
{{- end }}

{{/* What config uses and this chart cannot know, as JSON: environment variables, and files that others mount. */}}
{{- define "remote-job-exporter.unknown" -}}
{{- $mounts := .Values.automountServiceAccountToken | ternary (list "/var/run/secrets/kubernetes.io/serviceaccount") list }}
{{- range .Values.extraVolumeMounts }}
{{- $mounts = append $mounts (get . "mountPath") }}
{{- end }}
{{- $unknown := list }}
{{- range $system := get (.Values.config | default dict) "systems" | default dict }}
{{- $unknown = concat $unknown (include "remote-job-exporter.secrets" (list $ $system "env") | fromJsonArray) }}
{{- range $path := include "remote-job-exporter.configFiles" (list $ $system) | fromJsonArray }}
{{- $mounted := not (isAbs $path) }}
{{- range $mounts }}
{{- $mounted = or $mounted (hasPrefix (printf "%s/" (clean .)) $path) (eq (clean .) $path) }}
{{- end }}
{{- $unknown = $mounted | ternary $unknown (append $unknown $path) }}
{{- end }}
{{- end }}
{{- range .Values.extraEnv }}
{{- $unknown = without $unknown (get . "name") }}
{{- end }}
{{- uniq $unknown | toJson }}
{{- end }}

{{/* What secrets `{file: …}` or `{env: …}` of a system name, as JSON: list of the root, the system and the word. */}}
{{- define "remote-job-exporter.secrets" -}}
{{- $lists := include "remote-job-exporter.lists" (index . 0) | fromJson }}
{{- /* A header may be called `file`: its name is no word for a secret. */}}
{{- $named := printf "\"(%s)\":[{]" (join "|" $lists.secretsByName) }}
{{- $login := regexReplaceAll $named (get (index . 1) "auth" | toRawJson) "\"${1}\":{ " }}
{{- $found := list }}
{{- range regexFindAll (printf "[{]\"%s\":\"[^\"]*\"[}]" (index . 2)) $login -1 }}
{{- $found = append $found (index (fromJson . | values) 0) }}
{{- end }}
{{- toJson $found }}
{{- end }}

{{/* List of the root, the place of a system and a path that it names. */}}
{{- define "remote-job-exporter.fileErrors" -}}
{{- $root := index . 0 }}
{{- $path := index . 2 }}
{{- $files := include "remote-job-exporter.credentialFiles" $root | fromJsonArray }}
{{- $name := trimPrefix "credentials/" $path }}
{{- if hasPrefix "credentials/" $path }}
{{- if not (has $name $files) }}
{{ index . 1 }} names the file {{ $path }}: neither credentials nor externalSecret.data has {{ $name }}
{{- end }}
{{- else if not (isAbs $path) }}
{{ index . 1 }} names the file {{ $path }}, which the pod does not have: use credentials/NAME, and add it to credentials
{{- end }}
{{- end }}

{{/* List of the lists, the place of a system and the system. */}}
{{- define "remote-job-exporter.jobsErrors" -}}
{{- $lists := index . 0 }}
{{- $place := index . 1 }}
{{- $system := index . 2 }}
{{- $jobs := get $system "jobs" | default list }}
{{- if not (or $jobs (hasKey $system "discover")) }}
{{ $place }}: jobs is missing: the jobs to watch, or discover to find them
{{- end }}
{{- $seen := dict }}
{{- range $index, $job := $jobs }}
{{- $keys := dict }}
{{- range $key, $value := merge (dict) $job (get $lists.jobDefaults (get $system "provider") | default dict) }}
{{- if not (has $key $lists.jobSettings) }}
{{- $_ := set $keys $key (kindIs "string" $value | ternary $value (toJson $value)) }}
{{- end }}
{{- end }}
{{- $id := toJson $keys }}
{{- if hasKey $seen $id }}
{{ $place }}.jobs[{{ $index }}] is the same job as jobs[{{ get $seen $id }}]
{{- else }}
{{- $_ := set $seen $id $index }}
{{- end }}
{{- end }}
{{- end }}
