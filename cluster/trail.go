package cluster

// A follower that is a little behind gets entries of the log, one that is far
// behind a snapshot. So much of the log stays behind a snapshot while there are
// followers.
const (
	trailBytes = 8 << 20
	// minTrail is more entries than a leader can have proposed without a quorum
	// (maxFlights and a few of the library's own). So the end of a log that has to be
	// replaced by a snapshot is never behind that snapshot.
	minTrail = 64
	// maxTrail bounds the entries of idle shards, whose entries are small.
	maxTrail = snapshotEntries
)

// trail gives how many entries of a log stay behind a snapshot, if that many
// entries of it had so many bytes.
func trail(followers bool, entries, logBytes int64) uint64 {
	if !followers {
		return 0
	}
	if entries <= 0 || logBytes <= 0 {
		return maxTrail
	}
	return uint64(min(max(entries*trailBytes/logBytes, minTrail), maxTrail))
}

// leaveTrail tells the library how much to leave of the log.
func (g *group) leaveTrail(entries, logBytes int64) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	conf := g.raft.ReloadableConfig()
	conf.TrailingLogs = trail(g.members.Load().followers, entries, logBytes)
	if g.fsm.faults.shortLog {
		conf.TrailingLogs = min(conf.TrailingLogs, minTrail)
	}
	return g.raft.ReloadConfig(conf)
}
