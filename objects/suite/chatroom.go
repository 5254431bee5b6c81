package suite

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

func chatRoomCases() []script {
	return []script{
		{"messages over HTTP", chatHTTP},
		{"sockets", chatSockets},
		{"leaving", chatLeaving},
		{"refusals", chatRefusals},
		{"text comes back as given", chatText},
		{"history", chatHistory},
		{"the last 1000 are kept", chatKept},
		{"huge messages", chatHuge},
		{"restart", chatRestart},
		{"hibernation", chatHibernation},
		{"messages expire", chatExpiry},
	}
}

func chat(username, text string) string {
	return fmt.Sprintf(`{"id":"$uuid","username":%q,"text":%q,"timestamp":$ms,"type":"chat"}`, username, text)
}

func say(username, text string) string {
	return fmt.Sprintf(`{"type":"chat","username":%q,"text":%q}`, username, text)
}

func chatHTTP(o *object) {
	o.get("/messages").json(`{"messages":[],"total":0}`)
	o.post("/messages", `{"username":"ann","text":"hi"}`).json(`{"success":true}`)
	o.post("/messages", `{"username":"bob","text":"ho"}`).json(`{"success":true}`)
	o.get("/messages").json(`{"messages":[` + chat("ann", "hi") + `,` + chat("bob", "ho") + `],"total":2}`)
}

func chatSockets(o *object) {
	ann := o.dial()
	ann.gets(`{"type":"user_count","count":1}`)
	bob := o.dial()
	bob.gets(`{"type":"user_count","count":2}`)
	ann.gets(`{"type":"user_count","count":2}`)

	ann.send(say("ann", "hi"))
	id := ann.gets(chat("ann", "hi"))[0]
	bob.gets(strings.Replace(chat("ann", "hi"), "$uuid", id, 1))
	o.get("/messages").json(`{"messages":[` + strings.Replace(chat("ann", "hi"), "$uuid", id, 1) + `],"total":1}`)

	bob.send(`{"type":"typing","username":"bob","isTyping":true}`)
	ann.gets(`{"type":"typing","username":"bob","isTyping":true}`)
	bob.send(`{"isTyping":false,"type":"typing"}`)
	ann.gets(`{"type":"typing","isTyping":false}`)
	bob.send(`{"type":"typing","username":{"b":1.0}}`)
	ann.gets(`{"type":"typing","username":{"b":1.0}}`)
	bob.idle()

	ann.send(`{"type":"ping"}`)
	ann.gets(`{"type":"pong","timestamp":$ms}`)
	bob.idle()

	o.post("/messages", `{"username":"eve","text":"over HTTP"}`).json(`{"success":true}`)
	ann.gets(chat("eve", "over HTTP"))
	bob.gets(chat("eve", "over HTTP"))

	for i := range 20 {
		ann.send(say("ann", fmt.Sprint(i)))
	}
	for i := range 20 {
		bob.gets(chat("ann", fmt.Sprint(i)))
	}
}

func chatLeaving(o *object) {
	ann, bob, eve := o.dial(), o.dial(), o.dial()
	ann.gets(`{"type":"user_count","count":1}`)
	ann.gets(`{"type":"user_count","count":2}`)
	ann.gets(`{"type":"user_count","count":3}`)
	bob.close()
	ann.gets(`{"type":"user_count","count":2}`)
	eve.drop()
	ann.gets(`{"type":"user_count","count":1}`)
	ann.idle()
	o.dial().gets(`{"type":"user_count","count":2}`)
}

func chatRefusals(o *object) {
	o.refusesBadJSON(http.MethodPost, "/messages")
	for _, body := range []string{
		`{}`, `[]`, `5`, `{"username":"a"}`, `{"text":"b"}`, `{"username":"","text":"b"}`, `{"username":"a","text":""}`,
		`{"username":null,"text":"b"}`, `{"username":"a","text":1}`, `{"username":["a"],"text":"b"}`, `{"Username":"a","text":"b"}`,
	} {
		o.post("/messages", body).text(http.StatusBadRequest, "Username and text required")
	}
	o.notFound("GET /", "PUT /messages", "DELETE /messages", "GET /messages/", "GET /messages/1")

	ann, bob := o.dial(), o.dial()
	ann.gets(`{"type":"user_count","count":1}`)
	ann.gets(`{"type":"user_count","count":2}`)
	bob.gets(`{"type":"user_count","count":2}`)
	ann.refusesNonsense()
	ann.refuses("Invalid message format",
		`{"type":"chat"}`, `{"type":"chat","username":"a"}`, `{"type":"chat","text":"b"}`, `{"type":"chat","username":"a","text":""}`,
		`{"type":"chat","username":5,"text":"b"}`, `{"type":"chat","username":"a","text":{}}`)
	bob.idle()
	o.get("/messages").json(`{"messages":[],"total":0}`)
}

func chatText(o *object) {
	s := o.dial()
	s.gets(`{"type":"user_count","count":1}`)
	s.send(`{"text":"<b>&amp;\u0041 \ud83d\ude00 é","username":"\u00e9","type":"chat"}`)
	want := `{"id":"$uuid","username":"\u00e9","text":"<b>&amp;\u0041 \ud83d\ude00 é","timestamp":$ms,"type":"chat"}`
	s.gets(want)
	o.get("/messages").json(`{"messages":[` + want + `],"total":1}`)
}

func chatHistory(o *object) {
	var all []string
	for i := range 60 {
		o.post("/messages", fmt.Sprintf(`{"username":"ann","text":"%d"}`, i)).json(`{"success":true}`)
		all = append(all, chat("ann", fmt.Sprint(i)))
	}
	o.get("/messages").json(`{"messages":[` + strings.Join(all[10:], ",") + `],"total":60}`)
	s := o.dial()
	s.gets(`{"type":"history","messages":[` + strings.Join(all[50:], ",") + `]}`)
	s.gets(`{"type":"user_count","count":1}`)
	s.idle()
}

func chatKept(o *object) {
	s := o.dial()
	s.gets(`{"type":"user_count","count":1}`)
	for i := range 1005 {
		s.send(say("ann", fmt.Sprint(i)))
		if i%100 == 99 { // let the object catch up
			for n := i - 99; n <= i; n++ {
				s.gets(chat("ann", fmt.Sprint(n)))
			}
		}
	}
	for n := 1000; n < 1005; n++ {
		s.gets(chat("ann", fmt.Sprint(n)))
	}
	got := o.get("/messages").json(`{"messages":[$any],"total":$n}`)
	if got[1] != "1000" || !strings.Contains(got[0], `"text":"1004"`) {
		o.t.Errorf("total = %s and the newest %s, want 1000 and 1004", got[1], short(got[0][len(got[0])-150:]))
	}
}

func chatHuge(o *object) {
	const size = 1<<20 - 100
	for range 10 {
		o.post("/messages", `{"username":"ann","text":`+repeat(size)+`}`).json(`{"success":true}`)
	}
	s := o.dial()
	if got := s.next(); !strings.HasPrefix(got, `{"type":"history","messages":[{"id":`) || len(got) < 2*size {
		o.t.Errorf("the history of huge messages is %s, %d bytes, want at least two of them", short(got), len(got))
	}
	s.gets(`{"type":"user_count","count":1}`)
	o.post("/messages", `{"username":"ann","text":`+repeat(tooLarge)+`}`).failure(http.StatusRequestEntityTooLarge, "body_too_large")
	s.refuses("Invalid message format", `{"type":"chat","username":"ann","text":`+repeat(3<<20)+`}`)
}

func chatRestart(o *object) {
	s := o.dial()
	s.gets(`{"type":"user_count","count":1}`)
	s.send(say("ann", "before"))
	s.gets(chat("ann", "before"))
	o.restart()
	o.post("/messages", `{"username":"bob","text":"after"}`).json(`{"success":true}`)
	o.get("/messages").json(`{"messages":[` + chat("ann", "before") + `,` + chat("bob", "after") + `],"total":2}`)
	s = o.dial()
	s.gets(`{"type":"history","messages":[` + chat("ann", "before") + `,` + chat("bob", "after") + `]}`)
	s.gets(`{"type":"user_count","count":1}`)
}

func chatHibernation(o *object) {
	ann, bob := o.dial(), o.dial()
	ann.gets(`{"type":"user_count","count":1}`)
	ann.gets(`{"type":"user_count","count":2}`)
	bob.gets(`{"type":"user_count","count":2}`)
	ann.send(say("ann", "before"))
	bob.gets(chat("ann", "before"))
	ann.gets(chat("ann", "before"))
	o.elapse(3 * time.Hour)
	ann.send(say("ann", "after"))
	bob.gets(chat("ann", "after"))
	o.elapse(3 * time.Hour)
	bob.close()
	ann.gets(chat("ann", "after"))
	ann.gets(`{"type":"user_count","count":1}`)
}

func chatExpiry(o *object) {
	o.post("/messages", `{"username":"ann","text":"old"}`).json(`{"success":true}`)
	o.elapse(24 * time.Hour)
	o.post("/messages", `{"username":"ann","text":"new"}`).json(`{"success":true}`)
	o.elapse(6*24*time.Hour - time.Minute)
	o.get("/messages").json(`{"messages":[` + chat("ann", "old") + `,` + chat("ann", "new") + `],"total":2}`)
	o.elapse(2 * time.Minute)
	o.get("/messages").json(`{"messages":[` + chat("ann", "new") + `],"total":1}`)
	o.elapse(24 * time.Hour)
	o.get("/messages").json(`{"messages":[],"total":0}`)
	o.post("/messages", `{"username":"ann","text":"again"}`).json(`{"success":true}`)
	o.get("/messages").json(`{"messages":[` + chat("ann", "again") + `],"total":1}`)
}
