{{/* Names: <release>-<component>. Call with (list . "api"). */}}
{{- define "stack.name" -}}
{{- $root := index . 0 -}}
{{- printf "%s-%s" $root.Release.Name (index . 1) | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "stack.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- end }}

{{- define "stack.labels" -}}
{{- $root := index . 0 -}}
{{ include "stack.selector" . }}
app.kubernetes.io/part-of: trimtab
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- end }}

{{/* Labels of pods: without what changes from one release tool to another, so that pods are not replaced for it. */}}
{{- define "stack.podLabels" -}}
{{ include "stack.selector" . }}
app.kubernetes.io/part-of: trimtab
{{- end }}

{{- define "stack.policyName" -}}
{{- .Values.policyName | default .Release.Name -}}
{{- end }}

{{- define "stack.secretName" -}}
{{- .Values.existingSecret | default (include "stack.name" (list . "credentials")) -}}
{{- end }}

{{- define "stack.databaseHost" -}}
{{- if .Values.postgres.enabled -}}
{{- include "stack.name" (list . "postgres") -}}
{{- else -}}
{{- required "externalDatabase.host is empty: name a PostgreSQL, or set postgres.enabled" .Values.externalDatabase.host -}}
{{- end -}}
{{- end }}

{{- define "stack.databasePort" -}}
{{- if .Values.postgres.enabled }}5432{{ else }}{{ .Values.externalDatabase.port }}{{ end -}}
{{- end }}

{{/* One environment variable from the credentials. Call with (list . "NAME" "key"). */}}
{{- define "stack.secretEnv" -}}
- name: {{ index . 1 }}
  valueFrom: {secretKeyRef: {name: {{ include "stack.secretName" (index . 0) }}, key: {{ index . 2 }}}}
{{- end }}

{{/* Environment from a map, in the order of its keys. */}}
{{- define "stack.mapEnv" -}}
{{- $lines := list }}
{{- range $name, $value := . }}
{{- $lines = append $lines (printf "- name: %s\n  value: %s" $name ($value | toString | quote)) }}
{{- end }}
{{- join "\n" $lines }}
{{- end }}
