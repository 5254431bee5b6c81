{{/* Names of objects; short enough for what Kubernetes appends to them. */}}
{{- define "holdfast.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 48 | trimSuffix "-" -}}
{{- end -}}

{{- define "holdfast.fullname" -}}
{{- $name := include "holdfast.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "holdfast.headless" -}}
{{- printf "%s-headless.%s.svc" (include "holdfast.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "holdfast.secretName" -}}
{{- default (printf "%s-secret" (include "holdfast.fullname" .)) .Values.secret.existingSecret -}}
{{- end -}}

{{- define "holdfast.tlsSecretName" -}}
{{- default (printf "%s-internal-tls" (include "holdfast.fullname" .)) .Values.internalTLS.existingSecret -}}
{{- end -}}

{{- define "holdfast.internalHost" -}}
{{- default (include "holdfast.headless" .) .Values.internalTLS.host -}}
{{- end -}}

{{- define "holdfast.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What selects the nodes' pods. Never add anything that changes: selectors are immutable. */}}
{{- define "holdfast.selectorLabels" -}}
app.kubernetes.io/name: {{ include "holdfast.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end -}}

{{/*
Labels of an object: (dict "root" $ "component" "…"). What the chart says wins over
the user's, so that no label is there twice.
*/}}
{{- define "holdfast.labels" -}}
{{- $labels := dict
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/name" (include "holdfast.name" .root)
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/component" .component
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
-}}
{{- toYaml (merge $labels (default dict .root.Values.commonLabels)) -}}
{{- end -}}

{{/* Labels of the nodes' pods: what selects them, and the user's. Nothing versioned, which would restart them. */}}
{{- define "holdfast.podLabels" -}}
{{- toYaml (merge (include "holdfast.selectorLabels" . | fromYaml) (default dict .Values.podLabels)) -}}
{{- end -}}

{{/* The volume with what nodes and jobs prove themselves with: (dict "root" $ "files" (list "…")). */}}
{{- define "holdfast.secretVolume" -}}
{{- $secret := .root.Values.secret -}}
{{- $keys := dict "cluster.key" "cluster.key" "admin.token" "admin.token" -}}
{{- if $secret.existingSecret -}}
{{- $keys = dict "cluster.key" $secret.clusterKeyKey "admin.token" $secret.adminTokenKey -}}
{{- end -}}
name: secret
secret:
  secretName: {{ include "holdfast.secretName" .root }}
  defaultMode: 0440
  items:
    {{- range .files }}
    - key: {{ get $keys . }}
      path: {{ . }}
    {{- end }}
{{- end -}}
