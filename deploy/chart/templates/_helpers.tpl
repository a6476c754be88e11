{{/* Names, labels, and what all pods of ours have in common. */}}
{{- define "canario.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "canario.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "canario.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "canario.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Of one part: {root, part}. */}}
{{- define "canario.partName" -}}
{{- printf "%s-%s" (include "canario.fullname" .root) .part -}}
{{- end -}}

{{- define "canario.selector" -}}
app.kubernetes.io/name: {{ include "canario.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "canario.labels" -}}
{{ include "canario.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: canario
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "canario.meta" -}}
name: {{ include "canario.partName" . }}
namespace: {{ .root.Release.Namespace }}
labels: {{- include "canario.labels" . | nindent 2 }}
{{- end -}}

{{- define "canario.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}
{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "canario.unleashUrl" -}}
{{- if .Values.unleash.url -}}{{ .Values.unleash.url }}
{{- else if .Values.unleash.install -}}http://{{ include "canario.fullname" . }}-unleash:4242
{{- else -}}{{ fail "unleash.url: the address of your Unleash is needed, or unleash.install=true for a small one to try" }}
{{- end -}}
{{- end -}}

{{- define "canario.prometheusUrl" -}}
{{- if .Values.prometheus.url -}}{{ .Values.prometheus.url }}
{{- else if .Values.prometheus.install -}}http://{{ include "canario.fullname" . }}-prometheus:9090
{{- else -}}{{ fail "prometheus.url: the address of your Prometheus is needed, or prometheus.install=true for a small one to try" }}
{{- end -}}
{{- end -}}

{{/* Whether the provision Job makes the tokens of this part: "true" or "". */}}
{{- define "canario.bootstrapped" -}}
{{- if and (eq .root.Values.provision.mode "bootstrap") (has "unleash.token" (index .root.Values .part).secret.keys) (ne .part "provision") -}}true{{- end -}}
{{- end -}}

{{/* Keys that the part's own Secret holds, with commas between: those that the provision Job makes are not among them. */}}
{{- define "canario.ownKeys" -}}
{{- $keys := (index .root.Values .part).secret.keys -}}
{{- if and (eq .part "provision") (eq .root.Values.provision.mode "bootstrap") -}}{{- $keys = list "unleash-admin-password" -}}{{- end -}}
{{- if eq (include "canario.bootstrapped" .) "true" -}}{{- $keys = without $keys "unleash.token" -}}{{- end -}}
{{- join "," $keys -}}
{{- end -}}

{{/* Whether the part's keys are those that the chart makes up for trying: "true" or "". */}}
{{- define "canario.onTrial" -}}
{{- $secret := (index .root.Values .part).secret -}}
{{- if and .root.Values.unleash.install (not $secret.existing) (not $secret.values) -}}true{{- end -}}
{{- end -}}

{{- define "canario.trialKeys" -}}
unleash-sdk-token,unleash-admin-password,admin-token,log-salt,board-token
{{- end -}}

{{- define "canario.secretName" -}}
{{- $secret := (index .root.Values .part).secret -}}
{{- if $secret.existing -}}{{ $secret.existing }}
{{- else if eq (include "canario.onTrial" .) "true" -}}{{ include "canario.fullname" .root }}-trial
{{- else -}}{{ include "canario.partName" . }}
{{- end -}}
{{- end -}}

{{- define "canario.secretVolume" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- if include "canario.ownKeys" . }}
      - secret:
          name: {{ include "canario.secretName" . }}
          {{- if eq (include "canario.onTrial" .) "true" }}
          items:
            {{- range splitList "," (include "canario.ownKeys" .) | compact }}
            - {key: {{ . }}, path: {{ . }}}
            {{- end }}
          {{- end }}
      {{- end }}
      {{- if eq (include "canario.bootstrapped" .) "true" }}
      # The provision Job writes it; until then this pod waits.
      - secret:
          name: {{ include "canario.partName" . }}-token
          items:
            - {key: unleash.token, path: unleash.token}
            - {key: unleash.json, path: unleash.json}
      {{- end }}
{{- end -}}

{{/* Variables of a part: {root, part, set}. What stands in the part's own `env` wins. */}}
{{- define "canario.env" -}}
{{- $part := index .root.Values .part -}}
{{- $all := dict "CANARIO_UNLEASH_URL" (include "canario.unleashUrl" .root) "CANARIO_UNLEASH_PROJECT" .root.Values.unleash.project "CANARIO_UNLEASH_ENVIRONMENT" .root.Values.unleash.environment -}}
{{- if not (has "prometheus-url" $part.secret.keys) -}}
{{- $_ := set $all "CANARIO_PROMETHEUS_URL" (include "canario.prometheusUrl" .root) -}}
{{- end -}}
{{- $files := dict "unleash-sdk-token" "CANARIO_UNLEASH_SDK_TOKEN" "unleash.token" "CANARIO_UNLEASH_ADMIN_TOKEN" "unleash-admin-password" "CANARIO_UNLEASH_ADMIN_PASSWORD" "admin-token" "CANARIO_ADMIN_TOKEN" "log-salt" "CANARIO_LOG_SALT" "notify-urls" "CANARIO_NOTIFY_URLS" "board-token" "CANARIO_BOARD_TOKEN" "prometheus-url" "CANARIO_PROMETHEUS_URL" -}}
{{- $keys := splitList "," (include "canario.ownKeys" .) | compact -}}
{{- if eq (include "canario.bootstrapped" .) "true" -}}{{- $keys = append $keys "unleash.token" -}}{{- end -}}
{{- range $keys -}}
{{- $_ := set $all (printf "%s_FILE" (index $files .)) (printf "/etc/canario/secrets/%s" .) -}}
{{- end -}}
{{- $list := list -}}
{{- range $name, $value := merge (dict) $part.env .set $all -}}
{{- $list = append $list (dict "name" $name "value" (toString $value)) -}}
{{- end -}}
{{- toYaml $list -}}
{{- end -}}

{{- define "canario.rolloutsVolume" -}}
- name: rollouts
  configMap:
    name: {{ .Values.rollouts.existingConfigMap | default (printf "%s-rollouts" (include "canario.fullname" .)) }}
    items:
      {{- if .Values.rollouts.existingConfigMap }}
      {{- range $path, $key := .Values.rollouts.keys }}
      - {key: {{ $key | quote }}, path: {{ $path | quote }}}
      {{- else }}
      {{- fail "rollouts.keys: says which key of rollouts.existingConfigMap is which file, {checkout/rollout.yaml: checkout.yaml}" }}
      {{- end }}
      {{- else }}
      {{- range $path, $_ := include "canario.rolloutFiles" . | fromYaml }}
      - {key: {{ $path | replace "/" "_" | quote }}, path: {{ $path | quote }}}
      {{- end }}
      {{- end }}
{{- end -}}

{{/* Files of rollouts by path, as a YAML mapping. */}}
{{- define "canario.rolloutFiles" -}}
{{- if .Values.rollouts.files -}}
{{- toYaml .Values.rollouts.files -}}
{{- else -}}
{{- $files := dict -}}
{{- range $path, $content := .Files.Glob "files/rollouts/*/*" -}}
{{- $_ := set $files (trimPrefix "files/rollouts/" $path) (toString $content) -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}
{{- end -}}

{{/* Pod settings that every part has: {root, part}. */}}
{{- define "canario.podSettings" -}}
{{- $part := index .root.Values .part -}}
serviceAccountName: {{ include "canario.partName" . }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with $part.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Nothing that each new version of the chart changes: pods would begin anew with it. */}}
{{- define "canario.podMeta" -}}
{{- $part := index .root.Values .part -}}
labels: {{- include "canario.selector" . | nindent 2 }}
  app.kubernetes.io/part-of: canario
  {{- with .arm }}
  canario/arm: {{ . }}
  {{- end }}
  {{- with merge (dict) $part.podLabels .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .part }}
  {{- with $part.secret.values }}
  checksum/secret: {{ toJson . | sha256sum | trunc 16 }}
  {{- end }}
  {{- with $part.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "canario.container" -}}
name: {{ .part }}
image: {{ include "canario.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext: {{- toYaml .root.Values.securityContext | nindent 2 }}
resources: {{- toYaml (index .root.Values .part).resources | nindent 2 }}
{{- end -}}

{{/* The pod of the provision Job. */}}
{{- define "canario.provisionPod" -}}
{{- $at := dict "root" . "part" "provision" }}
{{- $bootstrap := eq .Values.provision.mode "bootstrap" }}
metadata: {{- include "canario.podMeta" $at | nindent 2 }}
spec: {{- include "canario.podSettings" $at | nindent 2 }}
  automountServiceAccountToken: {{ $bootstrap }}
  enableServiceLinks: false
  restartPolicy: OnFailure
  containers:
    - {{- include "canario.container" $at | nindent 6 }}
      command: [sh, -ec]
      args:
        # Exit code 4 of `apply`: a flag needs a person (archived, for one). That must not keep the release back.
        {{- if $bootstrap }}
        - |
          python -m flags bootstrap --secrets /tmp/tokens --kubernetes {{ include "canario.fullname" . }}
          CANARIO_UNLEASH_ADMIN_TOKEN_FILE=/tmp/tokens/canario-flags.token python -m flags apply || [ $? -eq 4 ]
        {{- else }}
        - |
          python -m flags apply || [ $? -eq 4 ]
        {{- end }}
      env:
        {{- include "canario.env" (merge (dict "set" (dict "CANARIO_LEASE" .Values.rollback.lease)) $at) | nindent 8 }}
      volumeMounts:
        - {name: secrets, mountPath: /etc/canario/secrets, readOnly: true}
        - {name: tmp, mountPath: /tmp}
  volumes:
    {{- include "canario.secretVolume" $at | nindent 4 }}
    - name: tmp
      emptyDir: {medium: Memory, sizeLimit: 64Mi}
{{- end }}

{{/* Variables of the mesh controller: where it is scraped, and the name of its Lease, which its Role has. */}}
{{- define "canario.meshEnv" -}}
CANARIO_ROLLOUTS: /etc/canario/rollouts
CANARIO_MESH_METRICS_BIND: 0.0.0.0:9302
CANARIO_MESH_LEASE: {{ include "canario.partName" . }}
{{- end -}}
