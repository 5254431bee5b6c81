package transport

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/holdfast-dev/holdfast/actor"
)

// errNoRoute means that the path is none of ours.
var errNoRoute = errors.New("transport: no such path")

// routeKind says what a path leads to.
type routeKind uint8

const (
	routeNamed routeKind = iota + 1 // /objects/{class}/{name}/{rest...}
	routeID                         // /ids/{class}/{hex}/{rest...}
	routeNewID                      // /ids/{class}
)

// route is a path that was understood but not yet checked against the classes.
type route struct {
	kind   routeKind
	class  string // decoded
	object string // name or hexadecimal ID, decoded; "" with routeNewID
	rest   string // what the object sees: begins with a slash, still escaped
}

// parseRoute splits an escaped path. It neither cleans nor redirects: a name may
// be "." or ".." or contain "%2F", and rest keeps the client's escaping, so
// http.ServeMux cannot be used here.
func parseRoute(escaped string) (route, error) {
	var rt route
	switch {
	case strings.HasPrefix(escaped, "/objects/"):
		rt.kind = routeNamed
		escaped = escaped[len("/objects/"):]
	case strings.HasPrefix(escaped, "/ids/"):
		rt.kind = routeID
		escaped = escaped[len("/ids/"):]
	default:
		return route{}, errNoRoute
	}

	class, escaped, more := strings.Cut(escaped, "/")
	var err error
	if rt.class, err = url.PathUnescape(class); err != nil || class == "" {
		return route{}, errNoRoute
	}
	if !more {
		if rt.kind == routeID {
			rt.kind = routeNewID
			return rt, nil
		}
		return route{}, errNoRoute
	}

	object, rest, _ := strings.Cut(escaped, "/")
	rt.rest = "/" + rest
	if rt.object, err = url.PathUnescape(object); err != nil {
		return route{}, actor.ErrBadName
	}
	return rt, nil
}

// target makes the object's ID. This is the only place that checks names and
// IDs of requests; behind it they are trusted.
func (rt route) target(ids actor.IDSource) (actor.Target, error) {
	t := actor.Target{Class: rt.class}
	var err error
	if rt.kind == routeID {
		t.ID, err = ids.Parse(rt.object)
		return t, err
	}
	if rt.object == "" || len(rt.object) > actor.MaxNameBytes || !utf8.ValidString(rt.object) {
		return t, actor.ErrBadName
	}
	t.Name = rt.object
	t.ID, err = ids.Named(rt.object)
	return t, err
}

// objectRequest gives the request as the object sees it: the same but for the
// URL, which has only rest and the query.
func (rt route) objectRequest(r *http.Request) (*http.Request, error) {
	decoded, err := url.PathUnescape(rt.rest)
	if err != nil {
		return nil, errNoRoute
	}
	u := &url.URL{Path: decoded, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery}
	if u.EscapedPath() != rt.rest {
		u.RawPath = rt.rest
	}
	r = r.WithContext(r.Context())
	r.URL = u
	r.RequestURI = u.RequestURI()
	return r, nil
}
