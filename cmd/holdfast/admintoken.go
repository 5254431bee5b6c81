package main

import (
	"fmt"

	"github.com/holdfast-dev/holdfast/transport"
)

// loadAdminToken reads the file of --admin-token-file, which node and command line
// share. Without a file there is no token.
func loadAdminToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	content, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("--admin-token-file: %w", err)
	}
	token, err := transport.ParseAdminToken(content)
	if err != nil {
		return "", fmt.Errorf("--admin-token-file: %w (make one with: head -c 32 /dev/urandom | base64 > admin.token)", err)
	}
	return token, nil
}
