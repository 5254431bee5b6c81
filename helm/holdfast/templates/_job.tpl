{{/*
Metadata of a hook: (dict "root" $ "component" "…" "hooks" "…" "weight" n "delete" "…").
Hooks run in the order of their weights, and all before the chart's other objects.
*/}}
{{- define "holdfast.hookMetadata" -}}
name: {{ include "holdfast.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "holdfast.labels" . | nindent 2 }}
annotations:
  helm.sh/hook: {{ .hooks }}
  helm.sh/hook-weight: {{ .weight | quote }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
  helm.sh/hook-output-log-policy: hook-failed
{{- end -}}

{{/* Labels of a hook's pod, which NetworkPolicies know it by: (dict "root" $ "component" "…"). */}}
{{- define "holdfast.jobLabels" -}}
app.kubernetes.io/name: {{ include "holdfast.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The only container of a hook's pod, up to its arguments. */}}
{{- define "holdfast.jobContainer" -}}
name: holdfast
image: {{ include "holdfast.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
resources:
  requests:
    cpu: 10m
    memory: 32Mi
  limits:
    memory: 128Mi
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end -}}
