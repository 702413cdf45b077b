{{/* The database as the application, through the pooler. */}}
{{- define "stack.appDatabaseEnv" -}}
- name: API_DATABASE_HOST
  value: {{ include "stack.name" (list . "pooler") }}
- name: API_DATABASE_PORT
  value: "6432"
- name: API_DATABASE_NAME
  value: catalog
- name: API_DATABASE_USER
  value: catalog_app
{{ include "stack.secretEnv" (list . "API_DATABASE_PASSWORD" "app-password") }}
{{- end }}
