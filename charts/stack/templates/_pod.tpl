{{/* What every pod has. Call with (list . "api"). */}}
{{- define "stack.podDefaults" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ include "stack.name" . }}
automountServiceAccountToken: {{ eq (index . 1) "prometheus" }}
# Else Kubernetes would put a variable for each Service of the namespace beside the settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "stack.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Image lines of a container. Call with (list . "api"). */}}
{{- define "stack.image" -}}
{{- $root := index . 0 -}}
image: {{ get $root.Values.images (index . 1) | quote }}
imagePullPolicy: {{ $root.Values.images.pullPolicy }}
{{- end }}

{{/* Pods of one kind on different nodes, where there are several. Call with (list . "api"). */}}
{{- define "stack.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "stack.selector" . | nindent 8 }}
{{- end }}

{{/* How a tunable pod knows itself and its knobs. Call with the resources of the container. */}}
{{- define "stack.tunableEnv" -}}
- name: TRIMTAB_KNOBS
  value: /etc/trimtab/knobs/knobs.json
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
{{- if (.limits).cpu }}
- name: TRIMTAB_CPU_LIMIT_MILLICORES
  valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}
{{- end }}
{{- end }}

{{/* The knobs: a directory, since a subPath mount is never refreshed; optional, since the tuner makes it later. */}}
{{- define "stack.knobsVolume" -}}
- name: knobs
  configMap: {name: {{ include "stack.policyName" . }}-knobs, optional: true}
{{- end }}

{{- define "stack.knobsMount" -}}
- {name: knobs, mountPath: /etc/trimtab/knobs, readOnly: true}
{{- end }}

{{/* An init container that waits until PostgreSQL accepts connections. */}}
{{- define "stack.waitForDatabase" -}}
- name: wait-for-database
  {{- include "stack.image" (list . "postgres") | nindent 2 }}
  command:
    - sh
    - -c
    - 'until pg_isready --host="$HOST" --port="$PORT" --username=catalog_owner --dbname=catalog --timeout=5; do sleep 1; done'
  env:
    - name: HOST
      value: {{ include "stack.databaseHost" . | quote }}
    - name: PORT
      value: {{ include "stack.databasePort" . | quote }}
  {{- include "stack.containerSecurity" . | nindent 2 }}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
{{- end }}

{{/* An init container that waits until the schema is the one that the image's code wants. Call with (dict "root" "env"). */}}
{{- define "stack.waitForSchema" -}}
- name: wait-for-schema
  {{- include "stack.image" (list .root "api") | nindent 2 }}
  command: [python, -m, services.api.migrate, --wait]
  env:
    {{- .env | nindent 4 }}
  {{- include "stack.containerSecurity" .root | nindent 2 }}
  resources:
    requests: {cpu: 10m, memory: 64Mi}
    limits: {memory: 256Mi}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
{{- end }}
