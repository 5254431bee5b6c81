package checks

const (
	statefulSet = "StatefulSet/holdfast "
	node        = statefulSet + "spec template spec containers holdfast "
)

// everything switches on whatever can be.
const everything = `
internalTLS: {enabled: true, certManager: {issuerRef: {name: ca}}}
ingress: {enabled: true, hosts: [holdfast.example.com], tls: [{secretName: my-tls, hosts: [holdfast.example.com]}]}
httpRoute: {enabled: true, parentRefs: [{name: public}], hostnames: [holdfast.example.com]}
networkPolicy: {enabled: true, restrictEgress: true}
serviceMonitor: {enabled: true}
prometheusRule: {enabled: true}
dashboard: {enabled: true}
`

func nodeRows() []row {
	return []row{
		{
			name: "a node by default",
			want: []string{
				statefulSet + "spec replicas = 3",
				statefulSet + "spec podManagementPolicy = Parallel",
				statefulSet + "spec updateStrategy type = RollingUpdate",
				statefulSet + "spec minReadySeconds = 10",
				statefulSet + "spec serviceName = holdfast-headless",
				statefulSet + "spec persistentVolumeClaimRetentionPolicy = {whenDeleted: Retain, whenScaled: Retain}",
				statefulSet + "spec volumeClaimTemplates 0 spec resources requests storage = 10Gi",
				statefulSet + "spec volumeClaimTemplates 0 metadata labels = {app.kubernetes.io/name: holdfast, app.kubernetes.io/instance: holdfast, app.kubernetes.io/component: node}",
				node + "args = [serve]",
				node + "image = ghcr.io/holdfast-dev/holdfast:0.1.0",
				node + "env HOLDFAST_NAME valueFrom fieldRef fieldPath = metadata.name",
				node + "env HOLDFAST_ADVERTISE valueFrom fieldRef fieldPath = status.podIP",
				node + "env HOLDFAST_ZONE valueFrom fieldRef fieldPath = \"metadata.labels['topology.kubernetes.io/zone']\"",
				node + "env HOLDFAST_JOIN value = holdfast-headless.apps.svc:7946",
				node + "env HOLDFAST_HTTP value = ':8080'",
				node + "env HOLDFAST_ADMIN value = ':8081'",
				node + "env HOLDFAST_SHARDS value = '32'",
				node + "env HOLDFAST_MAX_MEMORY_BYTES value = '1073741824'",
				node + "startupProbe httpGet = {path: /startupz, port: admin}",
				node + "readinessProbe httpGet = {path: /readyz, port: admin}",
				node + "livenessProbe httpGet = {path: /livez, port: admin}",
				node + "ports gossip = {name: gossip, containerPort: 7946}",
				node + "ports gossip-udp = {name: gossip-udp, containerPort: 7946, protocol: UDP}",
				"ConfigMap/holdfast data bootstrap-expect = '3'",
			},
			none: []string{
				statefulSet + "spec volumeClaimTemplates 0 spec storageClassName",
				node + "env HOLDFAST_BOOTSTRAP_EXPECT value",
				node + "env HOLDFAST_IDLE_TIMEOUT", node + "env HOLDFAST_ORIGIN", node + "env HOLDFAST_INTERNAL_CERT",
			},
		},
		{
			name:   "one node",
			values: `replicas: 1`,
			alone:  true,
			want:   []string{statefulSet + "spec replicas = 1", "ConfigMap/holdfast data bootstrap-expect = '1'", "Pod/holdfast-check spec containers holdfast args = [check, http://holdfast-0.holdfast-headless.apps.svc:8080, http://holdfast.apps.svc:80]"},
			none:   []string{"PodDisruptionBudget/holdfast"},
		},
		{
			name:   "five nodes",
			values: `replicas: 5`,
			want:   []string{statefulSet + "spec replicas = 5", "ConfigMap/holdfast data bootstrap-expect = '5'", "PodDisruptionBudget/holdfast spec maxUnavailable = 1"},
		},
		{
			name:   "another image",
			values: `{image: {repository: "registry.example.com:5000/holdfast", tag: v2, pullPolicy: Always}, imagePullSecrets: [{name: my-login}]}`,
			want: []string{
				node + "image = registry.example.com:5000/holdfast:v2",
				node + "imagePullPolicy = Always",
				statefulSet + "spec template spec imagePullSecrets = [{name: my-login}]",
				"Job/holdfast-scale-down spec template spec containers holdfast image = registry.example.com:5000/holdfast:v2",
				"Pod/holdfast-check spec imagePullSecrets = [{name: my-login}]",
			},
		},
		{
			name:   "an image by its digest",
			values: `image: {tag: v2, digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}`,
			want:   []string{node + "image = ghcr.io/holdfast-dev/holdfast@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
		},
		{
			name:   "flags of the node",
			values: `config: {shards: 64, gracePeriod: 1h30m, idleTimeout: 5s, idempotencyTTL: 24h, maxObjects: 1000000, maxMemoryBytes: 34359738368, maxBodyBytes: 5000000, maxMessageBytes: 33554432, origins: ["https://a.example", "https://b.example"], logLevel: debug, logFormat: text}`,
			want: []string{
				node + "env HOLDFAST_SHARDS value = '64'",
				node + "env HOLDFAST_GRACE_PERIOD value = 1h30m",
				node + "env HOLDFAST_IDLE_TIMEOUT value = 5s",
				node + "env HOLDFAST_IDEMPOTENCY_TTL value = 24h",
				node + "env HOLDFAST_MAX_OBJECTS value = '1000000'",
				node + "env HOLDFAST_MAX_MEMORY_BYTES value = '34359738368'",
				node + "env HOLDFAST_MAX_BODY_BYTES value = '5000000'",
				node + "env HOLDFAST_MAX_MESSAGE_BYTES value = '33554432'",
				node + "env HOLDFAST_ORIGIN value = 'https://a.example,https://b.example'",
				node + "env HOLDFAST_LOG_LEVEL value = debug",
				node + "env HOLDFAST_LOG_FORMAT value = text",
			},
		},
		{
			name:   "another memory limit",
			values: `resources: {requests: {cpu: "2"}, limits: {memory: 1.5G}}`,
			want:   []string{node + "env HOLDFAST_MAX_MEMORY_BYTES value = '750000000'", node + "resources limits memory = 1.5G"},
		},
		{
			name:   "no memory limit",
			values: `resources: {limits: null}`,
			want:   []string{node + "resources = {requests: {cpu: 250m, memory: 1Gi}}"},
			none:   []string{node + "env HOLDFAST_MAX_MEMORY_BYTES"},
			alone:  true,
		},
		{
			name:   "volumes",
			values: `persistence: {size: 1Ti, storageClassName: fast, annotations: {a: b}, retentionPolicy: {whenDeleted: Delete, whenScaled: Delete}}`,
			want: []string{
				statefulSet + "spec volumeClaimTemplates 0 spec resources requests storage = 1Ti",
				statefulSet + "spec volumeClaimTemplates 0 spec storageClassName = fast",
				statefulSet + "spec volumeClaimTemplates 0 metadata annotations = {a: b}",
				statefulSet + "spec persistentVolumeClaimRetentionPolicy = {whenDeleted: Delete, whenScaled: Delete}",
			},
		},
		{
			name: "more of everything",
			values: `{extraArgs: [--shards=8], extraEnv: [{name: GOGC, value: "50"}], extraVolumes: [{name: scratch, emptyDir: {}}], extraVolumeMounts: [{name: scratch, mountPath: /scratch}],
  podLabels: {team: blue, app.kubernetes.io/name: mine}, podAnnotations: {a: b}, commonLabels: {owner: me, app.kubernetes.io/instance: mine}}`,
			want: []string{
				node + "args = [serve, --shards=8]",
				node + "env GOGC value = '50'",
				node + "volumeMounts scratch mountPath = /scratch",
				statefulSet + "spec template metadata labels = {app.kubernetes.io/name: holdfast, app.kubernetes.io/instance: holdfast, app.kubernetes.io/component: node, team: blue}",
				statefulSet + "spec template metadata annotations = {a: b}",
				statefulSet + "metadata labels owner = me",
				"Job/holdfast-make-secret metadata labels owner = me",
				"Service/holdfast metadata labels app.kubernetes.io/instance = holdfast",
			},
		},
		{
			name:   "objects of one's own",
			values: `extraObjects: [{apiVersion: v1, kind: ConfigMap, metadata: {name: my-map, namespace: "{{ .Release.Namespace }}", labels: {helm.sh/chart: a, app.kubernetes.io/name: a, app.kubernetes.io/instance: a, app.kubernetes.io/component: a, app.kubernetes.io/version: a, app.kubernetes.io/managed-by: a}}}]`,
			want:   []string{"ConfigMap/my-map metadata namespace = apps"},
		},
		{
			name:   "another name",
			values: `fullnameOverride: do`,
			alone:  true, // the table speaks of holdfast
			want: []string{
				"StatefulSet/do spec serviceName = do-headless",
				"StatefulSet/do spec template spec containers holdfast env HOLDFAST_JOIN value = do-headless.apps.svc:7946",
				"Job/do-scale-down spec template spec containers holdfast args = [scale-down, --prefix=do-, --replicas=3, --timeout=240s]",
			},
			none: []string{"StatefulSet/holdfast", "Service/holdfast"},
		},
		{
			name:   "a name that is too long",
			values: `fullnameOverride: a123456789-123456789-123456789-123456789-1234567-tail`,
			alone:  true,
			want:   []string{"StatefulSet/a123456789-123456789-123456789-123456789-1234567 spec replicas = 3"},
		},
		{
			name:   "part of another chart",
			values: `{global: {imageRegistry: x, anything: {goes: true}}, enabled: true}`,
			want:   []string{node + "image = ghcr.io/holdfast-dev/holdfast:0.1.0"},
		},
		{name: "everything", values: everything, want: []string{"Certificate/holdfast-internal-tls spec secretName = holdfast-internal-tls"}},
	}
}
