{{/* Parts of several documents. Those with a component take (list $ "component"). */}}

{{- define "asof.selector" -}}
app.kubernetes.io/name: asof
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "asof.labels" -}}
{{ include "asof.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- end }}

{{/* (list VARIABLE secret): a variable from the key of the same name. */}}
{{- define "asof.secret" -}}
- name: {{ index . 0 }}
  valueFrom: {secretKeyRef: {name: {{ index . 1 | quote }}, key: {{ index . 0 }}}}
{{- end }}

{{/* Of every pod: user 1034 of the images, no token, and no variables of Services, which might be read as settings. */}}
{{- define "asof.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1034
  runAsGroup: 1034
  fsGroup: 1034
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.placement }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "asof.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Egress that every pod needs: names, and PostgreSQL. */}}
{{- define "asof.egress" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{ include "asof.egressTo" .Values.networkPolicy.postgres }}
{{- end }}

{{- define "asof.egressTo" -}}
- ports: [{port: {{ .port }}, protocol: TCP}]
  {{- with .to }}
  to: {{ toJson . }}
  {{- end }}
{{- end }}

{{/* Of the jobs that run flows: (list $ role), as ingest or training. */}}
{{- define "asof.roleEnvironment" -}}
{{- $root := index . 0 }}{{ $role := index . 1 }}{{ $secret := index $root.Values.secrets $role -}}
{{ include "asof.secret" (list "ASOF_POSTGRES_URL" $secret) }}
- {name: ASOF_POSTGRES_SSLMODE, value: {{ $root.Values.postgres.sslmode | quote }}}
- {name: ASOF_ACTOR, value: "{{ $role }}@{{ $root.Release.Name }}"}
- {name: MLFLOW_TRACKING_URI, value: {{ $root.Values.mlflow.url | quote }}}
{{- if eq $role "ingest" }}
{{ include "asof.secret" (list "ASOF_ERASURE_KEY" $secret) }}
{{- range $root.Values.sources }}
{{ include "asof.secret" (list . $secret) }}
{{- end }}
{{- else }}
{{- if $root.Values.postgres.replicas.training }}
{{ include "asof.secret" (list "ASOF_POSTGRES_READ_URLS" $secret) }}
{{- end }}
{{ include "asof.secret" (list "ASOF_SIGNING_KEY_TEXT" $secret) }}
{{ include "asof.secret" (list "MLFLOW_TRACKING_PASSWORD" $secret) }}
- {name: MLFLOW_TRACKING_USERNAME, value: {{ $root.Values.mlflow.username | quote }}}
- {name: ASOF_TRUSTED_KEYS, value: {{ $root.Values.trustedKeys | quote }}}
{{- end }}
{{- end }}
