package checks

const scaleDown = "Job/holdfast-scale-down "

func stopRows() []row {
	return []row{
		{
			name: "a stop by default",
			want: []string{
				statefulSet + "spec template spec terminationGracePeriodSeconds = 50",
				node + "lifecycle preStop sleep seconds = 5",
				node + "env HOLDFAST_STOP_TIMEOUT value = 20s",
				node + "env HOLDFAST_CLOSE_SPREAD value = 5s",
			},
		},
		{
			name:   "a long stop",
			values: `shutdown: {preStopSleepSeconds: 15, stopTimeoutSeconds: 600, closeSpreadSeconds: 120, marginSeconds: 30}`,
			want: []string{
				statefulSet + "spec template spec terminationGracePeriodSeconds = 775",
				node + "lifecycle preStop sleep seconds = 15",
				node + "env HOLDFAST_STOP_TIMEOUT value = 600s",
				node + "env HOLDFAST_CLOSE_SPREAD value = 120s",
			},
		},
		{
			name:   "a stop without a pause",
			values: `shutdown: {preStopSleepSeconds: 0, closeSpreadSeconds: 0}`,
			want:   []string{statefulSet + "spec template spec terminationGracePeriodSeconds = 40", node + "env HOLDFAST_CLOSE_SPREAD value = 0s"},
			none:   []string{node + "lifecycle"},
		},
		{
			name: "scaling down by default",
			want: []string{
				scaleDown + "metadata annotations helm.sh/hook = pre-upgrade,pre-rollback",
				scaleDown + "metadata annotations helm.sh/hook-weight = '0'",
				scaleDown + "metadata annotations helm.sh/hook-output-log-policy = hook-failed",
				scaleDown + "spec activeDeadlineSeconds = 270",
				scaleDown + "spec template spec containers holdfast args = [scale-down, --prefix=holdfast-, --replicas=3, --timeout=240s]",
				scaleDown + "spec template spec containers holdfast env HOLDFAST_ADMIN value = holdfast-admin.apps.svc:8081",
				scaleDown + "spec template spec volumes 0 secret items = [{key: admin.token, path: admin.token}]",
			},
		},
		{
			name:   "scaling down by force",
			values: `{scaleDown: {force: true, timeoutSeconds: 3600}}`,
			want:   []string{scaleDown + "spec template spec containers holdfast args = [scale-down, --prefix=holdfast-, --replicas=3, --timeout=3600s, --force]", scaleDown + "spec activeDeadlineSeconds = 3630"},
		},
		{
			name:   "no scaling down",
			values: `scaleDown: {enabled: false}`,
			none:   []string{"Job/holdfast-scale-down"},
			alone:  true,
		},
		{
			name:   "updates by hand",
			values: `{updateStrategy: {type: OnDelete}, minReadySeconds: 0}`,
			want:   []string{statefulSet + "spec updateStrategy = {type: OnDelete}", statefulSet + "spec minReadySeconds = 0"},
			alone:  true,
		},
		{
			name:   "a canary",
			values: `updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}`,
			want:   []string{statefulSet + "spec updateStrategy rollingUpdate partition = 2"},
		},
		{
			name:   "other probes",
			values: `probes: {startup: {failureThreshold: 5}, liveness: {initialDelaySeconds: 7, terminationGracePeriodSeconds: 3}}`,
			want: []string{
				node + "startupProbe = {httpGet: {path: /startupz, port: admin}, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 5}",
				node + "livenessProbe initialDelaySeconds = 7",
			},
		},
		{
			name: "a test by default",
			want: []string{
				"Pod/holdfast-check metadata annotations helm.sh/hook = test",
				"Pod/holdfast-check spec containers holdfast args = [check, http://holdfast-0.holdfast-headless.apps.svc:8080, http://holdfast-1.holdfast-headless.apps.svc:8080, http://holdfast-2.holdfast-headless.apps.svc:8080, http://holdfast.apps.svc:80]",
			},
		},
	}
}

func secretRows() []row {
	return []row{
		{
			name: "a secret that is made once",
			want: []string{
				"Job/holdfast-make-secret metadata annotations helm.sh/hook = pre-install,pre-upgrade",
				"Job/holdfast-make-secret spec template spec containers holdfast args = [make-secret, --name=holdfast-secret, --namespace=apps]",
				"Job/holdfast-make-secret spec template spec serviceAccountName = holdfast-make-secret",
				"ServiceAccount/holdfast-make-secret metadata annotations helm.sh/hook-weight = '-10'",
				"Role/holdfast-make-secret metadata annotations helm.sh/hook-weight = '-10'",
				"RoleBinding/holdfast-make-secret metadata annotations helm.sh/hook-weight = '-9'",
				"Job/holdfast-make-secret metadata annotations helm.sh/hook-weight = '-8'",
				"Role/holdfast-make-secret rules = [{apiGroups: [''], resources: [secrets], verbs: [create]}, {apiGroups: [''], resources: [secrets], resourceNames: [holdfast-secret], verbs: [get]}]",
				"RoleBinding/holdfast-make-secret subjects = [{kind: ServiceAccount, name: holdfast-make-secret, namespace: apps}]",
				statefulSet + "spec template spec volumes secret secret = {secretName: holdfast-secret, defaultMode: 288, items: [{key: cluster.key, path: cluster.key}, {key: admin.token, path: admin.token}]}",
				node + "env HOLDFAST_CLUSTER_KEY_FILE value = /etc/holdfast/secret/cluster.key",
				node + "env HOLDFAST_ADMIN_TOKEN_FILE value = /etc/holdfast/secret/admin.token",
				node + "volumeMounts secret mountPath = /etc/holdfast/secret",
			},
			none: []string{"Secret/holdfast-secret"},
		},
		{
			name:   "a secret of one's own",
			values: `secret: {existingSecret: my-secret, clusterKeyKey: gossip, adminTokenKey: token}`,
			want: []string{
				statefulSet + "spec template spec volumes secret secret = {secretName: my-secret, defaultMode: 288, items: [{key: gossip, path: cluster.key}, {key: token, path: admin.token}]}",
				scaleDown + "spec template spec volumes secret secret = {secretName: my-secret, defaultMode: 288, items: [{key: token, path: admin.token}]}",
			},
			none:  []string{"Job/holdfast-make-secret", "Role/holdfast-make-secret", "RoleBinding/holdfast-make-secret", "ServiceAccount/holdfast-make-secret"},
			alone: true,
		},
		{
			name:   "keys of a secret that the job makes",
			values: `secret: {clusterKeyKey: gossip, adminTokenKey: token}`,
			want:   []string{statefulSet + "spec template spec volumes secret secret items = [{key: cluster.key, path: cluster.key}, {key: admin.token, path: admin.token}]"},
		},
		{
			name:   "certificates by cert-manager",
			values: `internalTLS: {enabled: true, host: nodes.example.com, certManager: {issuerRef: {name: ca, kind: ClusterIssuer}, duration: 48h, renewBefore: 24h}}`,
			want: []string{
				"Certificate/holdfast-internal-tls spec issuerRef = {name: ca, kind: ClusterIssuer}",
				"Certificate/holdfast-internal-tls spec dnsNames = [nodes.example.com]",
				"Certificate/holdfast-internal-tls spec usages = [digital signature, server auth, client auth]",
				"Certificate/holdfast-internal-tls spec duration = 48h",
				"Certificate/holdfast-internal-tls spec renewBefore = 24h",
				statefulSet + "spec template spec volumes tls secret secretName = holdfast-internal-tls",
				node + "volumeMounts tls mountPath = /etc/holdfast/tls",
				node + "env HOLDFAST_INTERNAL_CERT value = /etc/holdfast/tls/tls.crt",
				node + "env HOLDFAST_INTERNAL_KEY value = /etc/holdfast/tls/tls.key",
				node + "env HOLDFAST_INTERNAL_CA value = /etc/holdfast/tls/ca.crt",
				node + "env HOLDFAST_INTERNAL_HOST value = nodes.example.com",
				node + "env HOLDFAST_CLUSTER_KEY_FILE value = /etc/holdfast/secret/cluster.key",
			},
		},
		{
			name:   "certificates of one's own",
			values: `internalTLS: {enabled: true, existingSecret: my-tls}`,
			want: []string{
				statefulSet + "spec template spec volumes tls secret secretName = my-tls",
				node + "env HOLDFAST_INTERNAL_HOST value = holdfast-headless.apps.svc",
			},
			none:  []string{"Certificate/holdfast-internal-tls"},
			alone: true,
		},
	}
}
