package suite

import (
	"net/http"
	"time"
)

func userSessionCases() []script {
	return []script{
		{"life of a session", sessionLife},
		{"data comes back as given", sessionData},
		{"refusals", sessionRefusals},
		{"restart", sessionRestart},
		{"expiry", sessionExpiry},
		{"reading is activity", sessionActivity},
	}
}

const newSession = `{"id":"$uuid","userId":"u1","data":{},"createdAt":$ms,"lastActivity":$ms}`

func sessionLife(o *object) {
	s := o.post("/session", `{"userId":"u1"}`).json(newSession)
	id, created := s[0], number(o.t, s[1])
	if s[2] != s[1] {
		o.t.Errorf("lastActivity of a new session = %s, want createdAt, %s", s[2], s[1])
	}
	s = o.get("/session/" + id).json(newSession)
	if s[0] != id || number(o.t, s[1]) != created || number(o.t, s[2]) < created {
		o.t.Errorf("session = %v, want id %s, createdAt %d and a lastActivity not before", s, id, created)
	}
	o.get("/session/" + id + "/more").json(newSession)
	if other := o.post("/session", `{"userId":"u1"}`).json(newSession)[0]; other == id {
		o.t.Errorf("two sessions have the id %s", id)
	}
	o.delete("/session/"+id, "").json(`{"deleted":true}`)
	o.get("/session/"+id).text(http.StatusNotFound, "Session not found")
	o.delete("/session/"+id, "").text(http.StatusNotFound, "Session not found")
}

func sessionData(o *object) {
	tests := []struct{ given, want string }{
		{`{}`, `"data":{}`},
		{`{"userId":"u"}`, `"userId":"u","data":{}`},
		{`{"userId":null,"data":null}`, `"userId":null,"data":{}`},
		{`{"userId":7,"data":0}`, `"userId":7,"data":{}`},
		{`{"userId":{"a":[]},"data":""}`, `"userId":{"a":[]},"data":{}`},
		{`{"data":false}`, `"data":{}`},
		{`{"data":-0.0e5}`, `"data":{}`},
		{`{"data":[]}`, `"data":[]`},
		{`{"data":"x"}`, `"data":"x"`},
		{`{"data":0.1e-7}`, `"data":0.1e-7`},
		{`{"data":{"b":1.50,"a":1e3,"n":12345678901234567890}}`, `"data":{"b":1.50,"a":1e3,"n":12345678901234567890}`},
		{`{"data":"<b>&\u0041\ud800 é\u2028"}`, `"data":"<b>&\u0041\ud800 é\u2028"`},
		{`{"data": {"a" : 1 ,"a":2}}`, `"data":{"a":1,"a":2}`},
		{`{"userId":"a","userId":"b"}`, `"userId":"b","data":{}`},
		{`{"UserId":"a","DATA":1}`, `"data":{}`},
		{`5`, `"data":{}`},
	}
	for _, test := range tests {
		id := o.post("/session", test.given).json(`{"id":"$uuid",` + test.want + `,"createdAt":$ms,"lastActivity":$ms}`)[0]
		o.get("/session/" + id).json(`{"id":"` + id + `",` + test.want + `,"createdAt":$ms,"lastActivity":$ms}`)
	}
}

func sessionRefusals(o *object) {
	o.refusesBadJSON(http.MethodPost, "/session")
	o.notFound("GET /", "GET /session", "PUT /session", "POST /session/", "POST /session/x", "PATCH /session/x", "GET /sessions")
	for _, id := range []string{"", "x", "00000000-0000-4000-8000-000000000000", "%2e", repeat(3000)[1:2990]} {
		o.get("/session/"+id).text(http.StatusNotFound, "Session not found")
		o.delete("/session/"+id, "").text(http.StatusNotFound, "Session not found")
	}
	o.post("/session", `{"data":`+repeat(tooLarge)+`}`).failure(http.StatusRequestEntityTooLarge, "body_too_large")
	o.post("/session", `{"data":`+repeat(1<<20)+`}`).json(`{"id":"$uuid","data":"$text","createdAt":$ms,"lastActivity":$ms}`)
}

func sessionRestart(o *object) {
	s := o.post("/session", `{"userId":"u1"}`).json(newSession)
	gone := o.post("/session", `{"userId":"u1"}`).json(newSession)[0]
	o.delete("/session/"+gone, "").json(`{"deleted":true}`)
	o.restart()
	if got := o.get("/session/" + s[0]).json(newSession); got[0] != s[0] || got[1] != s[1] {
		o.t.Errorf("session after a restart = %v, want %v", got, s)
	}
	o.get("/session/"+gone).text(http.StatusNotFound, "Session not found")
}

func sessionExpiry(o *object) {
	first := o.post("/session", `{"userId":"u1"}`).json(newSession)[0]
	o.elapse(time.Hour)
	second := o.post("/session", `{"userId":"u1"}`).json(newSession)[0]
	o.elapse(23*time.Hour + time.Second)
	o.get("/session/"+first).text(http.StatusNotFound, "Session not found")
	o.delete("/session/"+first, "").text(http.StatusNotFound, "Session not found")
	o.get("/session/" + second).json(newSession)
	o.elapse(24*time.Hour - time.Second)
	o.get("/session/" + second).json(newSession)
	o.elapse(24*time.Hour + time.Second)
	o.get("/session/"+second).text(http.StatusNotFound, "Session not found")
}

func sessionActivity(o *object) {
	read := o.post("/session", `{"userId":"u1"}`).json(newSession)[0]
	left := o.post("/session", `{"userId":"u1"}`).json(newSession)[0]
	for range 2 {
		o.elapse(20 * time.Hour)
		o.get("/session/" + read).json(newSession)
	}
	o.get("/session/"+left).text(http.StatusNotFound, "Session not found")
	o.elapse(25 * time.Hour)
	o.get("/session/"+read).text(http.StatusNotFound, "Session not found")
}
