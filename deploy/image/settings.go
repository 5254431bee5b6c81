package main

// What a container of holdfast is like; deploy/Dockerfile says the same.
const (
	binaryPath = "/holdfast"
	dataPath   = "/data"
	nonroot    = 65532 // user and group
)

// settings is the part of an image's configuration that says how to run it.
type settings struct {
	User         string              `json:"User"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts"`
	Env          []string            `json:"Env"`
	Entrypoint   []string            `json:"Entrypoint"`
	Volumes      map[string]struct{} `json:"Volumes"`
	WorkingDir   string              `json:"WorkingDir"`
	Labels       map[string]string   `json:"Labels"`
}

func (i image) settings() settings {
	s := settings{
		User:       "65532:65532",
		Entrypoint: []string{binaryPath},
		WorkingDir: "/",
		// A container has a network of its own: nobody reaches these before whoever
		// runs it opens them. Operations need the admin token on such an address, and
		// the internal ones are listened to only with a key for them.
		Env: []string{
			"HOLDFAST_DATA=" + dataPath,
			"HOLDFAST_HTTP=0.0.0.0:8080",
			"HOLDFAST_ADMIN=0.0.0.0:8081",
			"HOLDFAST_INTERNAL=0.0.0.0:7000",
			"HOLDFAST_GOSSIP=0.0.0.0:7946",
		},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}, "8081/tcp": {}, "7000/tcp": {}, "7946/tcp": {}, "7946/udp": {}},
		Volumes:      map[string]struct{}{dataPath: {}},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "holdfast",
			"org.opencontainers.image.description": "Self-hosted, clustered runtime for durable objects",
			"org.opencontainers.image.licenses":    "Apache-2.0",
		},
	}
	if i.version != "" {
		s.Labels["org.opencontainers.image.version"] = i.version
	}
	return s
}
