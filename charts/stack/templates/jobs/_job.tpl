{{/*
A Job of the owner role, straight to PostgreSQL. Call with (dict "root" . "component" "migrate" "command" (list ..)
"before" <init containers> "resources" ..).
A Job's template cannot be changed, so its name holds a hash of it: an upgrade that changes nothing here leaves the Job
alone, another image or another number of items makes a new one.
*/}}
{{- define "stack.job" -}}
{{- $root := .root -}}
{{- $template := include "stack.jobTemplate" . -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "stack.name" (list $root .component) }}-{{ sha256sum $template | trunc 10 }}
  labels:
    {{- include "stack.labels" (list $root .component) | nindent 4 }}
spec:
  backoffLimit: 10
  template:
    {{- $template | nindent 4 }}
{{- end }}

{{- define "stack.jobTemplate" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "stack.podLabels" (list $root .component) | nindent 4 }}
spec:
  {{- include "stack.podDefaults" (list $root .component) | nindent 2 }}
  restartPolicy: OnFailure
  initContainers:
    {{- .before | nindent 4 }}
  containers:
    - name: {{ .component }}
      {{- include "stack.image" (list $root "api") | nindent 6 }}
      command: {{ toJson .command }}
      env:
        {{- include "stack.ownerEnv" $root | nindent 8 }}
      {{- include "stack.containerSecurity" $root | nindent 6 }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{/* The database as its owner, past the pooler. */}}
{{- define "stack.ownerEnv" -}}
- name: API_DATABASE_HOST
  value: {{ include "stack.databaseHost" . | quote }}
- name: API_DATABASE_PORT
  value: {{ include "stack.databasePort" . | quote }}
- name: API_DATABASE_NAME
  value: catalog
- name: API_DATABASE_USER
  value: catalog_owner
{{ include "stack.secretEnv" (list . "API_DATABASE_PASSWORD" "owner-password") }}
{{- end }}
