package transport

import (
	"context"
	"net"
	"strings"
	"testing"
)

func TestAdminToken(t *testing.T) {
	s := newAdminScene(t, loopback, testToken)
	type call struct {
		path   string
		header []string
		status int
	}
	calls := []call{
		{"/livez", nil, 200},
		{"/readyz", nil, 503},
		{"/startupz", nil, 200},
		{"/metrics", nil, 200},
	}
	for _, path := range []string{"/show", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile", "/debug/pprof/trace", "/debug/pprof/cmdline"} {
		for _, header := range []string{"", "Bearer", "Bearer ", "Bearer x" + testToken, "Bearer " + testToken[1:], "Basic " + testToken, testToken} {
			calls = append(calls, call{path, []string{"Authorization", header}, 401})
		}
	}
	calls = append(calls,
		call{"/show", []string{"Authorization", "Bearer " + testToken}, 200},
		call{"/show", []string{"Authorization", "bearer " + testToken, "Host", "holdfast.example.com"}, 200},
		call{"/debug/pprof/", []string{"Authorization", "Bearer " + testToken}, 200},
	)
	for _, c := range calls {
		resp, body := s.call("GET", c.path, c.header...)
		if resp.StatusCode != c.status {
			t.Errorf("GET %s with %q = %d %q, want %d", c.path, c.header, resp.StatusCode, body, c.status)
		}
		if c.status == 401 && (resp.Header.Get("WWW-Authenticate") == "" || !strings.Contains(body, "--admin-token-file")) {
			t.Errorf("GET %s = %v %q, want to be told what to do", c.path, resp.Header, body)
		}
		if strings.Contains(body, testToken) {
			t.Errorf("GET %s = %q: the token is in the answer", c.path, body)
		}
	}
	if resp, _ := s.call("POST", "/do/x/it"); resp.StatusCode != 401 {
		t.Errorf("POST without a token = %d, want 401", resp.StatusCode)
	}
	if strings.Contains(s.log.String(), testToken) {
		t.Errorf("the token is in the log:\n%s", s.log)
	}
}

// openListener is a listener on loopback that says that others reach it, too.
type openListener struct{ net.Listener }

func (openListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero, Port: 8081} }

func TestAdminWithoutToken(t *testing.T) {
	open := newAdminScene(t, func(tb testing.TB) (net.Listener, func(context.Context) (net.Conn, error)) {
		tb.Helper()
		l, dial := loopback(tb)
		return openListener{l}, dial
	}, "")
	for path, want := range map[string]int{"/livez": 200, "/metrics": 200, "/show": 403, "/debug/pprof/": 403} {
		if resp, body := open.call("GET", path); resp.StatusCode != want || want == 403 && !strings.Contains(body, "token_not_set") {
			t.Errorf("GET %s on an open port without a token = %d %q, want %d", path, resp.StatusCode, body, want)
		}
	}

	local := newAdminScene(t, loopback, "")
	for host, want := range map[string]int{
		"localhost:8081": 200, "127.0.0.1": 200, "[::1]:8081": 200, "127.5.6.7:1": 200, "LOCALHOST": 200,
		"evil.example": 403, "evil.example:8081": 403, "127.0.0.1.evil.example": 403, "10.0.0.1": 403,
	} {
		if resp, body := local.call("GET", "/show", "Host", host); resp.StatusCode != want {
			t.Errorf("GET /show of host %q = %d %q, want %d", host, resp.StatusCode, body, want)
		}
	}
}

func TestAdminRefusesOtherOrigins(t *testing.T) {
	s := newAdminScene(t, loopback, "")
	for _, tc := range []struct {
		method string
		header []string
		want   int
	}{
		{"POST", nil, 200},
		{"POST", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"POST", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"POST", []string{"Origin", "https://evil.example"}, 403},
	} {
		if resp, body := s.call(tc.method, "/do/x/it", tc.header...); resp.StatusCode != tc.want {
			t.Errorf("%s with %q = %d %q, want %d", tc.method, tc.header, resp.StatusCode, body, tc.want)
		}
	}
}

func TestParseAdminToken(t *testing.T) {
	long := strings.Repeat("x", maxAdminTokenBytes)
	for content, want := range map[string]string{
		"0123456789abcdef":        "0123456789abcdef",
		"  0123456789abcdef \r\n": "0123456789abcdef",
		long:                      long,
		"":                        "",
		"0123456789abcde\n":       "",
		"                    ":    "",
		"0123456789 abcdef":       "",
		"0123456789abcdéf!":       "",
		"0123456789\nabcdef":      "",
		long + "x":                "",
	} {
		got, err := ParseAdminToken([]byte(content))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseAdminToken(%.30q) = %.30q, %v, want %.30q", content, got, err, want)
		}
		if err != nil && content != "" && strings.TrimSpace(content) != "" && strings.Contains(err.Error(), strings.TrimSpace(content)) {
			t.Errorf("ParseAdminToken(%.30q) = %v: the error tells the secret", content, err)
		}
	}
}
