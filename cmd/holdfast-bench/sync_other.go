//go:build !linux

package main

import "os"

// syncData makes the file durable.
func syncData(file *os.File) error { return file.Sync() }
