package cluster

import (
	"fmt"
	"log/slog"
)

// pebbleLogger passes on what Pebble has to say. Its information is about
// flushes and compactions, of interest to developers only.
type pebbleLogger struct {
	log   *slog.Logger
	fatal func(error)
}

// Infof implements pebble.Logger.
func (l pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("log database", "text", fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error("log database", "text", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. Pebble calls it when a write or sync failed
// and goes on as if nothing had been if it returned.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf("cluster: log database: "+format, args...))
}
