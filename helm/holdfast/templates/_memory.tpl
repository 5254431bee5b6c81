{{/* The bytes of a quantity of memory, as 512Mi, 1.5Gi, 2G or 1073741824. */}}
{{- define "holdfast.bytes" -}}
{{- $quantity := toString . -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexFind "[A-Za-z]*$" $quantity -}}
{{- $number := trimSuffix $unit $quantity -}}
{{- if or (not (hasKey $units $unit)) (not (regexMatch "^[0-9]+(\\.[0-9]+)?$" $number)) -}}
{{- fail (printf "resources.limits.memory is %q: want a number with k, M, G, T, Ki, Mi, Gi, Ti or without, as 2Gi; or set config.maxMemoryBytes" $quantity) -}}
{{- end -}}
{{- mulf (float64 $number) (get $units $unit) | int64 -}}
{{- end -}}

{{/*
Bytes that the runtime may hold for objects. The node reads the limit of its
container by itself for the garbage collector and for the moment when it drains
itself; this is what it should refuse work at, well before.
*/}}
{{- define "holdfast.maxMemoryBytes" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources -}}
{{- if .Values.config.maxMemoryBytes -}}
{{- .Values.config.maxMemoryBytes | int64 -}}
{{- else if $limit -}}
{{- div (include "holdfast.bytes" $limit | int64) 2 -}}
{{- end -}}
{{- end -}}
