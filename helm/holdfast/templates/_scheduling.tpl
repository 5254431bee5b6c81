{{/* Where pods may run, for the nodes and for the jobs alike. */}}
{{- define "holdfast.scheduling" -}}
{{- $fields := pick .Values "imagePullSecrets" "nodeSelector" "tolerations" "priorityClassName" -}}
{{- range $field, $value := $fields }}
{{- if not $value }}
{{- $_ := unset $fields $field }}
{{- end }}
{{- end }}
{{- with $fields }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{/* Spread constraints, with the nodes' selector where there is none. */}}
{{- define "holdfast.spread" -}}
{{- $selector := dict "labelSelector" (dict "matchLabels" (include "holdfast.selectorLabels" . | fromYaml)) -}}
{{- $all := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $all = append $all (hasKey . "labelSelector" | ternary . (merge (deepCopy .) $selector)) -}}
{{- end -}}
{{- with $all -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
