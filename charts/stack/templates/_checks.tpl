{{/* Values that fit their schema and not each other. Called once, from the pooler's StatefulSet. */}}
{{- define "stack.checks" -}}
{{- with .Values }}
{{- if gt (int .pooler.replicas) (int .pooler.maxPods) }}
{{- fail (printf "pooler.replicas is %d, pooler.maxPods %d: a pod beyond maxPods refuses to start; raise maxPods or lower replicas" (int .pooler.replicas) (int .pooler.maxPods)) }}
{{- end }}
{{- if and (not .postgres.enabled) (not .existingSecret) }}
{{- fail "externalDatabase needs existingSecret: the passwords of its roles cannot be generated here" }}
{{- end }}
{{- if .postgres.enabled }}
{{- $fence := sub (int .postgres.maxConnections) (int .postgres.reservedConnections) }}
{{- $slack := max 2 (div $fence 10) }}
{{- $most := mul (int .pooler.poolSize) (int .pooler.maxPods) }}
{{- if gt $most (sub $fence $slack) }}
{{- fail (printf "pooler.poolSize %d x pooler.maxPods %d = %d server connections, the budget is %d (maxConnections %d - reservedConnections %d - slack %d): lower poolSize or raise postgres.maxConnections" (int .pooler.poolSize) (int .pooler.maxPods) $most (sub $fence $slack) (int .postgres.maxConnections) (int .postgres.reservedConnections) $slack) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
