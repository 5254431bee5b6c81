package transport

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-dev/holdfast/actor"
)

func TestParseRoute(t *testing.T) {
	for _, tc := range []struct {
		path string
		want route
		err  error
	}{
		{"/objects/ChatRoom/lobby", route{routeNamed, "ChatRoom", "lobby", "/"}, nil},
		{"/objects/ChatRoom/lobby/", route{routeNamed, "ChatRoom", "lobby", "/"}, nil},
		{"/objects/ChatRoom/lobby//", route{routeNamed, "ChatRoom", "lobby", "//"}, nil},
		{"/objects/ChatRoom/lobby/a%2Fb/../c", route{routeNamed, "ChatRoom", "lobby", "/a%2Fb/../c"}, nil},
		{"/objects/ChatRoom/./x", route{routeNamed, "ChatRoom", ".", "/x"}, nil},
		{"/objects/ChatRoom/../x", route{routeNamed, "ChatRoom", "..", "/x"}, nil},
		{"/objects/ChatRoom/a%2Fb%20c/x", route{routeNamed, "ChatRoom", "a/b c", "/x"}, nil},
		{"/objects/ChatRoom/a+b", route{routeNamed, "ChatRoom", "a+b", "/"}, nil},
		{"/objects/Chat%52oom/x", route{routeNamed, "ChatRoom", "x", "/"}, nil},
		{"/objects/ChatRoom/", route{routeNamed, "ChatRoom", "", "/"}, nil},
		{"/objects/ChatRoom//x", route{routeNamed, "ChatRoom", "", "/x"}, nil},
		{"/ids/ChatRoom", route{routeNewID, "ChatRoom", "", ""}, nil},
		{"/ids/ChatRoom/", route{routeID, "ChatRoom", "", "/"}, nil},
		{"/ids/ChatRoom/00ff/x/y", route{routeID, "ChatRoom", "00ff", "/x/y"}, nil},
		{"/objects/ChatRoom", route{}, errNoRoute},
		{"/objects/", route{}, errNoRoute},
		{"/objects", route{}, errNoRoute},
		{"/ids", route{}, errNoRoute},
		{"/ids/", route{}, errNoRoute},
		{"/", route{}, errNoRoute},
		{"", route{}, errNoRoute},
		{"*", route{}, errNoRoute},
		{"/Objects/ChatRoom/x", route{}, errNoRoute},
		{"//objects/ChatRoom/x", route{}, errNoRoute},
	} {
		got, err := parseRoute(tc.path)
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("parseRoute(%q) = %+v, %v, want %+v, %v", tc.path, got, err, tc.want, tc.err)
		}
	}
}

func TestTarget(t *testing.T) {
	ids := actor.NewIDSource(testSecret, "ChatRoom")
	lobby := objectOf("ChatRoom", "lobby")
	foreign := objectOf("Counter", "lobby")
	for _, tc := range []struct {
		route route
		want  actor.Target
		err   error
	}{
		{route{kind: routeNamed, class: "ChatRoom", object: "lobby"}, actor.Target{Class: "ChatRoom", ID: lobby, Name: "lobby"}, nil},
		{route{kind: routeID, class: "ChatRoom", object: lobby.String()}, actor.Target{Class: "ChatRoom", ID: lobby}, nil},
		{route{kind: routeID, class: "ChatRoom", object: foreign.String()}, actor.Target{}, actor.ErrBadID},
		{route{kind: routeID, class: "ChatRoom", object: "12"}, actor.Target{}, actor.ErrBadID},
		{route{kind: routeID, class: "ChatRoom"}, actor.Target{}, actor.ErrBadID},
		{route{kind: routeNamed, class: "ChatRoom"}, actor.Target{}, actor.ErrBadName},
		{route{kind: routeNamed, class: "ChatRoom", object: "\xff"}, actor.Target{}, actor.ErrBadName},
		{route{kind: routeNamed, class: "ChatRoom", object: strings.Repeat("n", actor.MaxNameBytes+1)}, actor.Target{}, actor.ErrBadName},
	} {
		got, err := tc.route.target(ids)
		if !errors.Is(err, tc.err) || (err == nil && got != tc.want) {
			t.Errorf("target(%+v) = %+v, %v, want %+v, %v", tc.route, got, err, tc.want, tc.err)
		}
	}
	if _, err := (route{kind: routeNamed, object: strings.Repeat("n", actor.MaxNameBytes)}).target(ids); err != nil {
		t.Errorf("target(longest name) = %v, want no error", err)
	}
}

// FuzzRoute checks that whatever a client sends after a name reaches the object
// as it was sent, and that a name survives its encoding.
func FuzzRoute(f *testing.F) {
	for _, path := range []string{
		"/objects/ChatRoom/lobby/a%2Fb?x=1&y=%20", "/objects/ChatRoom/..//%2e%2E/?", "/ids/ChatRoom/00/x%zz",
		"/objects/C/%00%ff/\"|^", "http://node/objects/C/n/;a=b", "/objects/C/n/%E2%82%AC/ü", "*",
	} {
		f.Add(path, "a/b ../%")
	}
	f.Fuzz(func(t *testing.T, uri, name string) {
		if u, err := url.ParseRequestURI(uri); err == nil {
			checkRoute(t, u)
		}
		if name == "" {
			return
		}
		rt, err := parseRoute("/objects/ChatRoom/" + url.PathEscape(name) + "/x")
		if err != nil || rt.object != name || rt.rest != "/x" {
			t.Fatalf("parseRoute of name %q = %+v, %v", name, rt, err)
		}
	})
}

func checkRoute(t *testing.T, u *url.URL) {
	t.Helper()
	sent := u.EscapedPath()
	rt, err := parseRoute(sent)
	if err != nil || rt.kind == routeNewID {
		return
	}
	if !strings.HasPrefix(rt.rest, "/") || (rt.rest != "/" && !strings.HasSuffix(sent, rt.rest)) {
		t.Fatalf("parseRoute(%q).rest = %q, want the end of the path", sent, rt.rest)
	}
	r := (&http.Request{URL: u}).WithContext(t.Context())
	or, err := rt.objectRequest(r)
	if err != nil {
		t.Fatalf("objectRequest(%q) = %v", sent, err)
	}
	if got := or.URL.EscapedPath(); got != rt.rest {
		t.Fatalf("path of the object for %q = %q, want %q", sent, got, rt.rest)
	}
	if or.URL.RawQuery != u.RawQuery || or.URL.Host != "" {
		t.Fatalf("URL of the object for %q = %#v, want the query and no host", u, or.URL)
	}
}
