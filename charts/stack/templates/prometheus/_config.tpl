{{- define "stack.prometheusConfig" -}}
{{- $interval := int .Values.prometheus.scrapeIntervalSeconds -}}
global:
  scrape_interval: {{ $interval }}s
  # Below the interval: a slow pod is one missing sample, not a queue of scrapes.
  scrape_timeout: {{ max 1 (sub $interval 1) }}s
scrape_configs:
  # Every container port called metrics or metrics-*, of running pods of this namespace.
  - job_name: pods
    sample_limit: 20000
    kubernetes_sd_configs:
      - role: pod
        namespaces:
          own_namespace: true
    relabel_configs:
      - source_labels: [__meta_kubernetes_pod_container_port_name]
        regex: metrics(-.+)?
        action: keep
      - source_labels: [__meta_kubernetes_pod_phase]
        regex: Pending|Succeeded|Failed
        action: drop
      - source_labels: [__meta_kubernetes_namespace]
        target_label: namespace
      - source_labels: [__meta_kubernetes_pod_name]
        target_label: pod
      - source_labels: [__meta_kubernetes_pod_container_name]
        target_label: container
      - source_labels: [__meta_kubernetes_pod_label_app_kubernetes_io_name]
        target_label: app
{{- end }}
