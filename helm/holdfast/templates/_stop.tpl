{{/* handOverSeconds is how long a node that stops looks for others that take its shards. */}}
{{- define "holdfast.handOverSeconds" -}}10{{- end -}}

{{/* A pod is killed when all that a graceful stop may take is over, not before. */}}
{{- define "holdfast.terminationGracePeriodSeconds" -}}
{{- with .Values.shutdown -}}
{{- add .preStopSleepSeconds (include "holdfast.handOverSeconds" $ | int) .stopTimeoutSeconds .closeSpreadSeconds .marginSeconds -}}
{{- end -}}
{{- end -}}
