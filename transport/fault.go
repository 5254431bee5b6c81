package transport

// Fault is a deliberate mistake. Tests of checkers build broken relays with it, to
// show that the mistake would be noticed; nothing else does.
type Fault int

// What a broken relay does wrong.
const (
	// FaultNoResend does not send messages again that were not acknowledged.
	FaultNoResend Fault = iota + 1
	// FaultNoFilter does not drop kept frames that have come before.
	FaultNoFilter
	// FaultAnyWay lets frames count from whoever sends them.
	FaultAnyWay
	// FaultUnconfirmed acknowledges what clients with a session may not have got.
	FaultUnconfirmed
)

// WithFault gives the configuration of a relay that makes that mistake; 0 is none.
func (c RelayConfig) WithFault(f Fault) RelayConfig {
	c.fault = f
	return c
}
