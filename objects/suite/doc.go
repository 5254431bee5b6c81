// Package suite tests the seven classes from outside, over HTTP and WebSockets,
// as any client meets them: every route, status, content type, body, message and
// order of messages, and the timers. It knows no package of the project, so it
// can be pointed at one node in a test, at a cluster in a synctest bubble, or at
// real processes: a [Target] says where.
//
//	suite.Run(t, suite.Target{URL: func() string { return server.URL }})
//
// A bubble admits no subtests. There a harness runs each of [Cases] in a bubble
// of its own.
package suite
