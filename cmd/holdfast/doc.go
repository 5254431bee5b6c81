// Command holdfast runs a node that serves durable objects over HTTP and
// WebSockets. It is the only place that knows all packages: it builds them,
// joins them, starts them in order and stops them in reverse.
//
// Run `holdfast --help` for the flags; each has an environment variable too.
package main
