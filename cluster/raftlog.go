package cluster

import (
	"context"
	"io"
	"log"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// raftLogger is an hclog.Logger that writes to slog. Raft's information and
// warnings are about elections of single groups: with dozens of groups they
// drown everything, so they are for developers. Its errors stay errors.
type raftLogger struct {
	log  *slog.Logger
	name string
}

func (l raftLogger) level(level hclog.Level) slog.Level {
	if level >= hclog.Error {
		return slog.LevelError
	}
	return slog.LevelDebug
}

// ofPeer says whether an error is one that the library has for each group, peer
// and try while a node is away. That it is away gossip says once.
func ofPeer(text string) bool {
	switch text {
	case "failed to heartbeat to", "failed to appendEntries to", "failed to pipeline appendEntries", "failed to start pipeline replication to",
		"failed to make requestVote RPC", "failed to send snapshot to", "peer has newer term, stopping replication":
		return true
	default:
		return false
	}
}

// Log implements hclog.Logger. Keys become snake case.
func (l raftLogger) Log(level hclog.Level, text string, args ...any) {
	to := l.level(level)
	if ofPeer(text) {
		to = slog.LevelDebug
	}
	if !l.log.Enabled(context.Background(), to) {
		return
	}
	attrs := make([]slog.Attr, 0, len(args)/2+1)
	attrs = append(attrs, slog.String("text", text))
	for i := 0; i+1 < len(args); i += 2 {
		key, ok := args[i].(string)
		if !ok {
			continue
		}
		attrs = append(attrs, slog.Any(strings.ReplaceAll(key, "-", "_"), args[i+1]))
	}
	l.log.LogAttrs(context.Background(), to, "raft", attrs...)
}

// Trace implements hclog.Logger.
func (l raftLogger) Trace(text string, args ...any) { l.Log(hclog.Trace, text, args...) }

// Debug implements hclog.Logger.
func (l raftLogger) Debug(text string, args ...any) { l.Log(hclog.Debug, text, args...) }

// Info implements hclog.Logger.
func (l raftLogger) Info(text string, args ...any) { l.Log(hclog.Info, text, args...) }

// Warn implements hclog.Logger.
func (l raftLogger) Warn(text string, args ...any) { l.Log(hclog.Warn, text, args...) }

// Error implements hclog.Logger.
func (l raftLogger) Error(text string, args ...any) { l.Log(hclog.Error, text, args...) }

func (l raftLogger) enabled(level hclog.Level) bool {
	return l.log.Enabled(context.Background(), l.level(level))
}

// IsTrace implements hclog.Logger.
func (l raftLogger) IsTrace() bool { return false }

// IsDebug implements hclog.Logger.
func (l raftLogger) IsDebug() bool { return l.enabled(hclog.Debug) }

// IsInfo implements hclog.Logger.
func (l raftLogger) IsInfo() bool { return l.enabled(hclog.Info) }

// IsWarn implements hclog.Logger.
func (l raftLogger) IsWarn() bool { return l.enabled(hclog.Warn) }

// IsError implements hclog.Logger.
func (l raftLogger) IsError() bool { return l.enabled(hclog.Error) }

// ImpliedArgs implements hclog.Logger.
func (l raftLogger) ImpliedArgs() []any { return nil }

// With implements hclog.Logger.
func (l raftLogger) With(args ...any) hclog.Logger {
	return raftLogger{log: l.log.With(args...), name: l.name}
}

// Name implements hclog.Logger.
func (l raftLogger) Name() string { return l.name }

// Named implements hclog.Logger.
func (l raftLogger) Named(name string) hclog.Logger { return raftLogger{log: l.log, name: name} }

// ResetNamed implements hclog.Logger.
func (l raftLogger) ResetNamed(name string) hclog.Logger { return l.Named(name) }

// SetLevel implements hclog.Logger. The level is slog's and stays.
func (l raftLogger) SetLevel(hclog.Level) {}

// GetLevel implements hclog.Logger.
func (l raftLogger) GetLevel() hclog.Level {
	if l.IsDebug() {
		return hclog.Debug
	}
	return hclog.Error
}

// StandardLogger implements hclog.Logger.
func (l raftLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger { //nolint:forbidigo // the interface asks for it
	return slog.NewLogLogger(l.log.Handler(), slog.LevelDebug)
}

// StandardWriter implements hclog.Logger.
func (l raftLogger) StandardWriter(opts *hclog.StandardLoggerOptions) io.Writer {
	return l.StandardLogger(opts).Writer() //nolint:forbidigo // it ends in slog
}
