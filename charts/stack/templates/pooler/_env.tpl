{{/* The settings that the init container and the agent share. */}}
{{- define "stack.poolerEnv" -}}
{{ include "stack.tunableEnv" .Values.pooler.agentResources }}
- name: POOLER_DATABASE_HOST
  value: {{ include "stack.databaseHost" . | quote }}
- name: POOLER_DATABASE_PORT
  value: {{ include "stack.databasePort" . | quote }}
- name: POOLER_DATABASE_NAME
  value: catalog
- name: POOLER_DATABASE_USER
  value: catalog_app
{{ include "stack.secretEnv" (list . "POOLER_DATABASE_PASSWORD" "app-password") }}
- name: POOLER_LISTEN_PORT
  value: "6432"
- name: POOLER_MAX_CLIENT_CONNECTIONS
  value: {{ .Values.pooler.maxClientConnections | quote }}
- name: POOLER_CONSOLE_USER
  value: trimtab_agent
{{ include "stack.secretEnv" (list . "POOLER_CONSOLE_PASSWORD" "console-password") }}
- name: POOLER_POOL_SIZE
  value: {{ .Values.pooler.poolSize | quote }}
- name: POOLER_MAX_PODS
  value: {{ .Values.pooler.maxPods | quote }}
- name: POOLER_METRICS_PORT
  value: "9127"
- name: POOLER_PEER_SERVICE
  value: {{ include "stack.name" (list . "pooler-peers") }}
- name: POOLER_RUN_DIRECTORY
  value: /run/pgbouncer
{{- with .Values.pooler.env }}
{{ include "stack.mapEnv" . }}
{{- end }}
{{- end }}

{{- define "stack.poolerMounts" -}}
- {name: run, mountPath: /run/pgbouncer}
- {name: tmp, mountPath: /tmp}
{{ include "stack.knobsMount" . }}
{{- end }}
