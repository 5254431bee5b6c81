{{/* The environment of a node. Each variable is the flag of that name. */}}
{{- define "holdfast.nodeEnv" -}}
- name: HOLDFAST_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: HOLDFAST_ADVERTISE
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: HOLDFAST_ZONE
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['{{ .Values.zoneLabel }}']
# Not a value: another number of replicas must not restart all nodes.
- name: HOLDFAST_BOOTSTRAP_EXPECT
  valueFrom:
    configMapKeyRef:
      name: {{ include "holdfast.fullname" . }}
      key: bootstrap-expect
{{ include "holdfast.fixedEnv" . }}
{{- range $name, $value := include "holdfast.configEnv" . | fromYaml }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "holdfast.fixedEnv" -}}
- name: HOLDFAST_DATA
  value: /data
- name: HOLDFAST_HTTP
  value: ":8080"
- name: HOLDFAST_ADMIN
  value: ":8081"
- name: HOLDFAST_INTERNAL
  value: ":7000"
- name: HOLDFAST_GOSSIP
  value: ":7946"
- name: HOLDFAST_JOIN
  value: {{ include "holdfast.headless" . }}:7946
- name: HOLDFAST_CLUSTER_KEY_FILE
  value: /etc/holdfast/secret/cluster.key
- name: HOLDFAST_ADMIN_TOKEN_FILE
  value: /etc/holdfast/secret/admin.token
{{- if .Values.internalTLS.enabled }}
- name: HOLDFAST_INTERNAL_CERT
  value: /etc/holdfast/tls/tls.crt
- name: HOLDFAST_INTERNAL_KEY
  value: /etc/holdfast/tls/tls.key
- name: HOLDFAST_INTERNAL_CA
  value: /etc/holdfast/tls/ca.crt
- name: HOLDFAST_INTERNAL_HOST
  value: {{ include "holdfast.internalHost" . }}
{{- end }}
- name: HOLDFAST_STOP_TIMEOUT
  value: {{ .Values.shutdown.stopTimeoutSeconds }}s
- name: HOLDFAST_CLOSE_SPREAD
  value: {{ .Values.shutdown.closeSpreadSeconds }}s
{{- end -}}

{{/* What values.config sets, as a map: what is empty is the node's to decide. */}}
{{- define "holdfast.configEnv" -}}
{{- range $key, $value := omit .Values.config "maxMemoryBytes" "origins" }}
{{- if $value }}
HOLDFAST_{{ $key | snakecase | upper }}: {{ kindIs "float64" $value | ternary ($value | int64) $value | toString | quote }}
{{- end }}
{{- end }}
{{- with include "holdfast.maxMemoryBytes" . }}
HOLDFAST_MAX_MEMORY_BYTES: {{ . | quote }}
{{- end }}
{{- with .Values.config.origins }}
HOLDFAST_ORIGIN: {{ join "," . | quote }}
{{- end }}
{{- end -}}
