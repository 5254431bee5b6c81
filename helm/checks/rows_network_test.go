package checks

const networkPolicy = "NetworkPolicy/holdfast spec "

func networkRows() []row {
	return []row{
		{
			name: "services by default",
			want: []string{
				"Service/holdfast spec type = ClusterIP",
				"Service/holdfast spec ports = [{name: http, port: 80, targetPort: http, appProtocol: http}]",
				"Service/holdfast-headless spec clusterIP = None",
				"Service/holdfast-headless spec publishNotReadyAddresses = true",
				"Service/holdfast-headless spec ports internal port = 7000",
				"Service/holdfast-headless spec ports gossip port = 7946",
				"Service/holdfast-headless spec ports gossip-udp protocol = UDP",
				"Service/holdfast-admin spec ports = [{name: admin, port: 8081, targetPort: admin, appProtocol: http}]",
			},
			none: []string{
				"Service/holdfast spec publishNotReadyAddresses", "Service/holdfast-admin spec publishNotReadyAddresses",
				"Service/holdfast-headless spec ports admin", "Service/holdfast spec ports admin", "Ingress/holdfast", "HTTPRoute/holdfast",
			},
		},
		{
			name:   "a load balancer",
			values: `service: {type: LoadBalancer, port: 443, annotations: {lb: "yes"}}`,
			want: []string{
				"Service/holdfast spec type = LoadBalancer", "Service/holdfast metadata annotations = {lb: 'yes'}", "Service/holdfast spec ports http port = 443",
				"Service/holdfast-admin spec type = ClusterIP",
			},
		},
		{
			name:   "an ingress",
			values: `ingress: {enabled: true, className: nginx, hosts: [a.example.com, "*.example.com"], tls: [{secretName: my-tls, hosts: [a.example.com]}], timeoutSeconds: 60, annotations: {nginx.ingress.kubernetes.io/proxy-send-timeout: "7", x: "y"}}`,
			want: []string{
				"Ingress/holdfast spec ingressClassName = nginx",
				"Ingress/holdfast spec rules 0 host = a.example.com",
				"Ingress/holdfast spec rules 1 host = '*.example.com'",
				"Ingress/holdfast spec rules 1 http paths = [{path: /, pathType: Prefix, backend: {service: {name: holdfast, port: {name: http}}}}]",
				"Ingress/holdfast spec tls = [{secretName: my-tls, hosts: [a.example.com]}]",
				"Ingress/holdfast metadata annotations nginx.ingress.kubernetes.io/proxy-read-timeout = '60'",
				"Ingress/holdfast metadata annotations nginx.ingress.kubernetes.io/proxy-send-timeout = '7'",
				"Ingress/holdfast metadata annotations nginx.ingress.kubernetes.io/proxy-body-size = '0'",
				"Ingress/holdfast metadata annotations haproxy-ingress.github.io/timeout-tunnel = 60s",
				"Ingress/holdfast metadata annotations haproxy.org/timeout-tunnel = 60s",
				"Ingress/holdfast metadata annotations x = 'y'",
			},
		},
		{
			name:   "a route",
			values: `{httpRoute: {enabled: true, parentRefs: [{name: public, namespace: gateways}], hostnames: [a.example.com], timeouts: {request: 0s}, annotations: {x: "y"}}, service: {port: 8000}}`,
			want: []string{
				"HTTPRoute/holdfast spec parentRefs = [{name: public, namespace: gateways}]",
				"HTTPRoute/holdfast spec hostnames = [a.example.com]",
				"HTTPRoute/holdfast spec rules = [{backendRefs: [{name: holdfast, port: 8000}], timeouts: {request: 0s}}]",
			},
			alone: true, // another port
		},
		{
			name: "a network policy by default",
			want: []string{
				networkPolicy + "policyTypes = [Ingress]",
				networkPolicy + "ingress 0 from = [{podSelector: {matchLabels: {app.kubernetes.io/name: holdfast, app.kubernetes.io/instance: holdfast, app.kubernetes.io/component: node}}}]",
				networkPolicy + "ingress 0 ports = [{port: 7000, protocol: TCP}, {port: 7946, protocol: TCP}, {port: 7946, protocol: UDP}]",
				networkPolicy + "ingress 1 = {ports: [{port: 8080, protocol: TCP}]}",
				networkPolicy + "ingress 2 = {ports: [{port: 8081, protocol: TCP}]}",
			},
			none: []string{networkPolicy + "egress", networkPolicy + "ingress 3"},
		},
		{
			name:   "a narrow network policy",
			values: `networkPolicy: {clients: [{namespaceSelector: {matchLabels: {a: b}}}], operators: [{ipBlock: {cidr: 10.0.0.0/8}}], restrictEgress: true, egress: [{ports: [{port: 443}]}]}`,
			want: []string{
				networkPolicy + "ingress 1 from = [{namespaceSelector: {matchLabels: {a: b}}}, {podSelector: {matchLabels: {app.kubernetes.io/name: holdfast, app.kubernetes.io/instance: holdfast, app.kubernetes.io/component: check}}}]",
				networkPolicy + "ingress 2 from = [{ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {matchLabels: {app.kubernetes.io/name: holdfast, app.kubernetes.io/instance: holdfast, app.kubernetes.io/component: scale-down}}}]",
				scaleDown + "spec template metadata labels app.kubernetes.io/component = scale-down",
				"Pod/holdfast-check metadata labels app.kubernetes.io/component = check",
				networkPolicy + "policyTypes = [Ingress, Egress]",
				networkPolicy + "egress 0 ports = [{port: 7000, protocol: TCP}, {port: 7946, protocol: TCP}, {port: 7946, protocol: UDP}]",
				networkPolicy + "egress 1 ports = [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]",
				networkPolicy + "egress 2 = {ports: [{port: 443}]}",
			},
		},
		{name: "no network policy", values: `networkPolicy: {enabled: false}`, none: []string{"NetworkPolicy/holdfast"}, alone: true},
	}
}

func schedulingRows() []row {
	const spec = statefulSet + "spec template spec "
	return []row{
		{
			name: "places by default",
			want: []string{
				spec + "topologySpreadConstraints 0 = {topologyKey: kubernetes.io/hostname, maxSkew: 1, whenUnsatisfiable: DoNotSchedule, nodeTaintsPolicy: Honor, labelSelector: {matchLabels: {app.kubernetes.io/name: holdfast, app.kubernetes.io/instance: holdfast, app.kubernetes.io/component: node}}}",
				spec + "topologySpreadConstraints 1 topologyKey = topology.kubernetes.io/zone",
				spec + "topologySpreadConstraints 1 whenUnsatisfiable = ScheduleAnyway",
				"PodDisruptionBudget/holdfast spec maxUnavailable = 1",
				"PodDisruptionBudget/holdfast spec unhealthyPodEvictionPolicy = AlwaysAllow",
			},
			none: []string{spec + "affinity", spec + "nodeSelector", spec + "tolerations", spec + "priorityClassName"},
		},
		{
			name: "other places",
			values: `{nodeSelector: {disk: fast}, tolerations: [{key: dedicated, operator: Exists}], priorityClassName: high,
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}}`,
			want: []string{
				spec + "nodeSelector = {disk: fast}",
				spec + "tolerations = [{key: dedicated, operator: Exists}]",
				spec + "priorityClassName = high",
				spec + "affinity nodeAffinity requiredDuringSchedulingIgnoredDuringExecution nodeSelectorTerms 0 matchExpressions 0 key = a",
				scaleDown + "spec template spec tolerations = [{key: dedicated, operator: Exists}]",
				"Job/holdfast-make-secret spec template spec nodeSelector = {disk: fast}",
				"Pod/holdfast-check spec priorityClassName = high",
			},
			none: []string{scaleDown + "spec template spec affinity"},
		},
		{
			name:   "a spread of one's own",
			values: `topologySpreadConstraints: [{topologyKey: rack, maxSkew: 2, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app.kubernetes.io/instance: holdfast, app.kubernetes.io/component: node}}}]`,
			want:   []string{spec + "topologySpreadConstraints 0 labelSelector matchLabels = {app.kubernetes.io/instance: holdfast, app.kubernetes.io/component: node}"},
			none:   []string{spec + "topologySpreadConstraints 1"},
			alone:  true,
		},
		{name: "no spread", values: `topologySpreadConstraints: []`, none: []string{spec + "topologySpreadConstraints"}, alone: true},
		{name: "another zone label", values: `zoneLabel: zone`, want: []string{node + "env HOLDFAST_ZONE valueFrom fieldRef fieldPath = \"metadata.labels['zone']\""}},
		{name: "no budget", values: `podDisruptionBudget: {enabled: false}`, none: []string{"PodDisruptionBudget/holdfast"}, alone: true},
	}
}

func monitoringRows() []row {
	return []row{
		{name: "no monitoring by default", none: []string{"ServiceMonitor/holdfast", "PrometheusRule/holdfast", "ConfigMap/holdfast-dashboard"}},
		{
			name:   "metrics",
			values: `serviceMonitor: {enabled: true, labels: {release: prometheus}, interval: 30s, scrapeTimeout: 10s, relabelings: [{action: labeldrop, regex: pod}], metricRelabelings: [{action: drop, sourceLabels: [__name__], regex: go_.*}]}`,
			want: []string{
				"ServiceMonitor/holdfast metadata labels release = prometheus",
				"ServiceMonitor/holdfast spec jobLabel = app.kubernetes.io/name",
				"ServiceMonitor/holdfast spec selector matchLabels = {app.kubernetes.io/name: holdfast, app.kubernetes.io/instance: holdfast, app.kubernetes.io/component: operators}",
				"ServiceMonitor/holdfast spec endpoints 0 = {port: admin, path: /metrics, interval: 30s, scrapeTimeout: 10s, relabelings: [{action: labeldrop, regex: pod}], metricRelabelings: [{action: drop, sourceLabels: [__name__], regex: go_.*}]}",
				"Service/holdfast-admin metadata labels app.kubernetes.io/component = operators",
			},
		},
		{name: "rules", values: `prometheusRule: {enabled: true, labels: {release: prometheus}}`, want: []string{"PrometheusRule/holdfast metadata labels release = prometheus"}},
		{
			name:   "a dashboard",
			values: `dashboard: {enabled: true, labels: {grafana: yes please}, annotations: {grafana_folder: Holdfast}}`,
			want:   []string{"ConfigMap/holdfast-dashboard metadata labels grafana = yes please", "ConfigMap/holdfast-dashboard metadata annotations = {grafana_folder: Holdfast}"},
		},
	}
}
