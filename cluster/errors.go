package cluster

import (
	"errors"
	"fmt"
)

// Outcomes of a proposal. errors.Is(err, ErrRefused) holds for every error that
// means "certainly not applied, and never will be"; every other error is unknown.
var (
	// ErrRefused means that the proposal was certainly not applied.
	ErrRefused = errors.New("cluster: refused, certainly not applied")
	// ErrNotOwner is a refusal because this node does not own the shard, or not
	// under the ownership that was named.
	ErrNotOwner = fmt.Errorf("%w: this node does not own the shard", ErrRefused)
	// ErrOverloaded is a refusal because a bound on the bytes in flight was reached.
	ErrOverloaded = fmt.Errorf("%w: too many bytes in flight", ErrRefused)
	// ErrStorageFull is a refusal because the disk has too little room left.
	ErrStorageFull = fmt.Errorf("%w: the disk is full", ErrRefused)
	// ErrTooLarge is a refusal because one batch is larger than MaxBatchBytes.
	ErrTooLarge = fmt.Errorf("%w: batch too large", ErrRefused)
	// ErrUnknown means that nobody can say yet whether the proposal was or will
	// be applied. It is not a failure and must not be shown as one.
	ErrUnknown = errors.New("cluster: outcome unknown")
)

// Reasons why a node does not open its data directory. None of them changes
// anything in it.
var (
	// ErrForeignDirectory means that the directory holds files of something else.
	ErrForeignDirectory = errors.New("cluster: not a Holdfast data directory")
	// ErrDirectoryInUse means that another process has the directory open.
	ErrDirectoryInUse = errors.New("cluster: data directory is in use")
	// ErrWrongName means that the directory belongs to a node with another name.
	ErrWrongName = errors.New("cluster: data directory belongs to another node name")
	// ErrUnknownVersion means that the data was written in a form that this
	// program does not know, most likely by a newer one.
	ErrUnknownVersion = errors.New("cluster: unknown format version")
	// ErrCorrupt means that data on disk is damaged.
	ErrCorrupt = errors.New("cluster: data on disk is damaged")
	// ErrDataLoss means that the log and the state of a shard, each sound by
	// itself, do not fit together: acknowledged writes are missing.
	ErrDataLoss = errors.New("cluster: acknowledged writes are missing")
	// ErrDecommissioned means that the cluster has let this node go for good.
	ErrDecommissioned = errors.New("cluster: the node was decommissioned")
	// ErrClosed means that the node is closed or closing.
	ErrClosed = errors.New("cluster: node is closed")
)
