{{- define "tuner.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "tuner.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "tuner.name" .) -}}
{{- end }}

{{- define "tuner.selector" -}}
app.kubernetes.io/name: tuner
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tuner.labels" -}}
{{ include "tuner.selector" . }}
app.kubernetes.io/part-of: trimtab
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "tuner.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tuner.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What the tuner may do, each right with its reason. */}}
{{- define "tuner.rules" -}}
# Policies: to watch them; to remove an annotation that was acted on, and to set and remove the finalizer of
# onDelete: Restore (patch).
- apiGroups: [trimtab.dev]
  resources: [tuningpolicies]
  verbs: [get, list, watch, patch]
# Their status is what the tuner says.
- apiGroups: [trimtab.dev]
  resources: [tuningpolicies/status]
  verbs: [patch]
# Knobs and state ConfigMaps: NAME-knobs and NAME-state. RBAC cannot name them, since policies' names are not known.
# No list, no watch, no delete.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, create, update]
# The pods of the targets: which exist (list), and an annotation that makes the kubelet refresh the knobs (patch).
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
# Targets and poolers: who manages spec.replicas, and the surge of a rollout. Never written.
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get]
# Replicas are read and written through the scale subresource only.
- apiGroups: [apps]
  resources: [deployments/scale, statefulsets/scale]
  verbs: [get, update]
# To leave alone what something else scales.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [list]
# What happened, for people.
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- with .Values.prometheusSecrets }}
# Credentials of Prometheus, these by name only.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [get]
{{- end }}
{{- range .Values.extraTargets }}
# Another kind of target.
- apiGroups: [{{ .apiGroup }}]
  resources: [{{ .resource }}]
  verbs: [get]
- apiGroups: [{{ .apiGroup }}]
  resources: [{{ .resource }}/scale]
  verbs: [get, update]
{{- end }}
{{- end }}
