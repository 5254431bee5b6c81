// Package transport is every byte between a client and an object: the public
// HTTP server, the addresses of objects, the errors that the runtime makes, the
// WebSockets of the clients, and the operator's server.
//
// The package runs no object. It asks a [Dispatcher], which in a node is
// actor.Host, and the object's frames come back to the [Gateway], which
// satisfies actor.Gateway:
//
//	gateway, err := transport.NewGateway(start, transport.GatewayConfig{}, log, transport.Events{})
//	host := ... // made with gateway
//	server, err := transport.NewServer(transport.ServerConfig{}, host, gateway, log, transport.Events{})
//	go server.Serve(listener)
//	...
//	server.Shutdown(ctx) // before the host is closed: the last frames and answers come from it
//
// DESIGN.md tells how a request and a message travel, what each bound is and
// what happens at it.
package transport
