package suite

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

func eventStoreCases() []script {
	return []script{
		{"appending", eventAppend},
		{"expected version", eventConcurrency},
		{"events come back as given", eventData},
		{"reading a range", eventRange},
		{"projections", eventProjections},
		{"events that a projection cannot take", eventRefusals},
		{"paths", eventPaths},
		{"activity log", eventActivities},
		{"snapshots", eventSnapshots},
		{"restart", eventRestart},
		{"projections after a restart", eventTotals},
		{"eviction", eventEviction},
	}
}

// emit appends an event and demands its version.
func (o *object) emit(kind, data string, version int) []string {
	o.t.Helper()
	return o.post("/events", fmt.Sprintf(`{"eventType":%q,"data":%s}`, kind, data)).json(
		fmt.Sprintf(`{"eventId":"$uuid","version":%d,"timestamp":$ms}`, version))
}

// stored is an event in a list; fields is what was given, in the order of the list.
func stored(fields string, version int) string {
	return fmt.Sprintf(`{"id":"$uuid",%s"version":%d,"timestamp":$ms,"metadata":{"correlationId":"$uuid","causationId":null}}`, fields, version)
}

func listed(current int, events ...string) string {
	return fmt.Sprintf(`{"events":[%s],"totalEvents":%d,"currentVersion":%d}`, strings.Join(events, ","), len(events), current)
}

func projected(name, data string, version int) string {
	return fmt.Sprintf(`{"projection":%q,"data":%s,"lastEventVersion":%d,"updatedAt":$ms}`, name, data, version)
}

func eventAppend(o *object) {
	o.get("/events").json(listed(0))
	made := o.emit("Noted", `{"a":1}`, 1)
	o.emit("Noted", `{"a":2}`, 2)
	got := o.get("/events").json(listed(2, stored(`"type":"Noted","data":{"a":1},`, 1), stored(`"type":"Noted","data":{"a":2},`, 2)))
	if got[0] != made[0] || got[1] != made[1] {
		o.t.Errorf("event 1 has id and time %v, want %v", got[:2], made)
	}
	if got[0] == got[3] || got[2] == got[5] || got[0] == got[2] {
		o.t.Errorf("ids of two events = %v, want four different ones", got)
	}
}

func eventConcurrency(o *object) {
	appended := `{"eventId":"$uuid","version":%d,"timestamp":$ms}`
	for _, body := range []string{`{"expectedVersion":1}`, `{"expectedVersion":-1}`, `{"expectedVersion":0.5}`} {
		o.post("/events", body).text(http.StatusConflict, "Concurrency conflict")
	}
	o.post("/events", `{"expectedVersion":0}`).json(fmt.Sprintf(appended, 1))
	o.post("/events", `{"expectedVersion":0}`).text(http.StatusConflict, "Concurrency conflict")
	o.post("/events", `{"expectedVersion":1.0}`).json(fmt.Sprintf(appended, 2))
	o.post("/events", `{"expectedVersion":null}`).json(fmt.Sprintf(appended, 3))
	o.post("/events", `{}`).json(fmt.Sprintf(appended, 4))
	for _, body := range []string{`{"expectedVersion":"4"}`, `{"expectedVersion":true}`, `{"expectedVersion":[]}`} {
		o.post("/events", body).text(http.StatusBadRequest, "Invalid request")
	}
	o.get("/events").json(listed(4, stored("", 1), stored("", 2), stored("", 3), stored("", 4)))
}

func eventData(o *object) {
	tests := []struct{ given, want string }{
		{`{"eventType":"A","data":{"b":1.50,"a":12345678901234567890}}`, `"type":"A","data":{"b":1.50,"a":12345678901234567890},`},
		{`{"data":"<x>\u0041\ud800","eventType":"\u0041<"}`, `"type":"\u0041<","data":"<x>\u0041\ud800",`},
		{`{"eventType":"A","data":null}`, `"type":"A","data":null,`},
		{`{"eventType":""}`, `"type":"",`},
		{`{"data":[]}`, `"data":[],`},
		{`{}`, ``},
		{`{"EventType":"A","Data":1,"id":"x","version":9}`, ``},
	}
	for i, test := range tests {
		o.post("/events", test.given).json(fmt.Sprintf(`{"eventId":"$uuid","version":%d,"timestamp":$ms}`, i+1))
		o.get(fmt.Sprintf("/events?from=%d", i+1)).json(listed(i+1, stored(test.want, i+1)))
	}
}

func eventRange(o *object) {
	var all []string
	for i := range 70 {
		kind := []string{"A", "B"}[i%2]
		o.emit(kind, fmt.Sprint(i), i+1)
		all = append(all, stored(fmt.Sprintf(`"type":%q,"data":%d,`, kind, i), i+1))
	}
	tests := []struct {
		query    string
		from, to int // of all
	}{
		{"", 0, 70},
		{"?from=", 0, 70},
		{"?from=0&to=", 0, 70},
		{"?from=-5", 0, 70},
		{"?from=69", 68, 70},
		{"?from=70&to=70", 69, 70},
		{"?to=3", 0, 3},
		{"?from=2&to=3&more=1", 1, 3},
		{"?to=1000000000000000000000000", 0, 70},
		{"?from=71", 70, 70},
		{"?from=5&to=4", 0, 0},
		{"?to=0", 0, 0},
		{"?from=x", 0, 0},
		{"?to=x", 0, 0},
		{"?from=%2068abc", 67, 70},
		{"?from=69.9", 68, 70},
	}
	for _, test := range tests {
		o.get("/events" + test.query).json(listed(70, all[test.from:test.to]...))
	}
	o.get("/events?from=60&to=63&type=A").json(listed(70, all[60], all[62]))
	o.get("/events?from=60&to=63&type=").json(listed(70, all[59:63]...))
	o.get("/events?type=a").json(listed(70))
}

func eventProjections(o *object) {
	names := []string{"user_summary", "order_totals", "activity_log"}
	for _, name := range names {
		o.get("/projection/" + name).json(projected(name, `{}`, 0))
	}
	o.emit("Noted", `1`, 1)
	o.get("/projection/user_summary").json(projected("user_summary", `{}`, 1))
	o.get("/projection/order_totals").json(projected("order_totals", `{"daily":{},"monthly":{}}`, 1))
	made := o.emit("UserCreated", `{"userId":"u1","email":"<a@b>","name":"ignored"}`, 2)
	o.emit("UserCreated", `{"userId":2,"email":"c@d"}`, 3)
	o.emit("OrderCompleted", `{"userId":"u1","total":0.1}`, 4)
	o.emit("OrderCompleted", `{"userId":"u1","total":0.2}`, 5)
	o.emit("OrderCompleted", `{"userId":"2","total":-1e2}`, 6)
	last := o.emit("OrderCompleted", `{"userId":"nobody","total":1e21}`, 7)
	user := `{"userId":"u1","email":"<a@b>","createdAt":` + made[1] + `,"orderCount":2,"totalSpent":0.30000000000000004}`
	second := `{"userId":2,"email":"c@d","createdAt":$ms,"orderCount":1,"totalSpent":-100}`
	got := o.get("/projection/user_summary").json(projected("user_summary", `{"2":`+second+`,"u1":`+user+`}`, 7))
	if got[1] != last[1] {
		o.t.Errorf("updatedAt = %s, want the time of the last event, %s", got[1], last[1])
	}
	day := time.UnixMilli(number(o.t, last[1])).UTC()
	totals := `{"count":4,"total":1e+21}`
	o.get("/projection/order_totals").json(projected("order_totals",
		`{"daily":{"`+day.Format(time.DateOnly)+`":`+totals+`},"monthly":{"`+day.Format("2006-01")+`":`+totals+`}}`, 7))
	o.emit("UserDeleted", `{"userId":"u1"}`, 8)
	o.emit("OrderCompleted", `{"userId":"u1","total":5}`, 9)
	o.get("/projection/user_summary/more").json(projected("user_summary", `{"2":`+second+`}`, 9))
}

func eventRefusals(o *object) {
	o.refusesBadJSON(http.MethodPost, "/events")
	o.emit("UserCreated", `{"userId":"u1","email":"a@b"}`, 1)
	o.emit("OrderCompleted", `{"userId":"u1","total":1e308}`, 2)
	for _, body := range []string{
		`{"eventType":1}`, `{"eventType":null}`, `{"eventType":["UserCreated"]}`,
		`{"eventType":"UserCreated"}`, `{"eventType":"UserCreated","data":null}`, `{"eventType":"UserCreated","data":"u1"}`,
		`{"eventType":"UserCreated","data":{"userId":{},"email":"a"}}`, `{"eventType":"UserCreated","data":{"userId":"u","email":[]}}`,
		`{"eventType":"UserCreated","data":{"userId":` + repeat(3000) + `}}`,
		`{"eventType":"OrderCompleted","data":{"userId":"u1"}}`, `{"eventType":"OrderCompleted","data":{"userId":"u1","total":"5"}}`,
		`{"eventType":"OrderCompleted","data":{"userId":"u1","total":null}}`, `{"eventType":"OrderCompleted","data":{"userId":"u1","total":1e308}}`,
		`{"eventType":"OrderCompleted","data":{"userId":"u1","total":1e999}}`, `{"eventType":"OrderCompleted","data":[]}`,
		`{"eventType":"UserDeleted"}`, `{"eventType":"UserDeleted","data":{"userId":[]}}`,
	} {
		o.post("/events", body).text(http.StatusBadRequest, "Invalid request")
	}
	o.get("/events").json(`{"events":[$any],"totalEvents":2,"currentVersion":2}`)
	o.emit("OrderCompleted", `{"total":1}`, 3)
	o.get("/projection/user_summary").json(projected("user_summary",
		`{"u1":{"userId":"u1","email":"a@b","createdAt":$ms,"orderCount":1,"totalSpent":1e+308}}`, 3))
}

func eventPaths(o *object) {
	o.notFound("GET /", "PUT /events", "DELETE /events", "GET /events/", "GET /events/1", "POST /projection/user_summary", "GET /snapshot", "GET /projection")
	for _, name := range []string{"", "users", "user%5Fsummary"} {
		o.get("/projection/"+name).text(http.StatusNotFound, "Projection not found")
	}
}

func eventActivities(o *object) {
	tests := []struct{ kind, data, summary string }{
		{"UserCreated", `{"userId":"u1","email":"a@b"}`, "User a@b created"},
		{"UserCreated", `{"userId":"u2"}`, "User undefined created"},
		{"UserCreated", `{"userId":"u3","email":null}`, "User null created"},
		{"OrderCompleted", `{"total":19.50}`, "Order completed for $19.5"},
		{"OrderCompleted", `{"total":1e2}`, "Order completed for $100"},
		{"UserDeleted", `{"userId":"u1"}`, "User u1 deleted"},
		{"UserDeleted", `{"userId":7.0}`, "User 7 deleted"},
		{"Noted", `1`, "Noted event occurred"},
	}
	var entries []string
	for i, test := range tests {
		made := o.emit(test.kind, test.data, i+1)
		entries = append(entries, fmt.Sprintf(`{"eventId":%q,"type":%q,"timestamp":%s,"summary":%q}`, made[0], test.kind, made[1], test.summary))
	}
	o.post("/events", `{}`).json(`{"eventId":"$uuid","version":9,"timestamp":$ms}`)
	entries = append(entries, `{"eventId":"$uuid","timestamp":$ms,"summary":"undefined event occurred"}`)
	o.get("/projection/activity_log").json(projected("activity_log", `{"activities":[`+strings.Join(entries, ",")+`]}`, 9))

	for i := len(entries); i < 1003; i++ {
		o.emit("More", `1`, i+1)
	}
	o.get("/events").json(`{"events":[$any],"totalEvents":1003,"currentVersion":1003}`)
	log := o.get("/projection/activity_log").body
	if got := strings.Count(log, `"eventId"`); got != 1000 || strings.Contains(log, "a@b") || !strings.Contains(log, `"User 7 deleted"`) {
		o.t.Errorf("after 1,003 events the activity log has %d entries and begins %s", got, short(log))
	}
}

func eventSnapshots(o *object) {
	o.refusesBadJSON(http.MethodPost, "/snapshot")
	for _, body := range []string{`{}`, `{"projectionName":"users"}`, `{"projectionName":5}`} {
		o.post("/snapshot", body).text(http.StatusNotFound, "Projection not found")
	}
	o.post("/snapshot", `{"projectionName":"user_summary"}`).json(`{"snapshotCreated":true,"version":0}`)
	o.emit("Noted", `1`, 1)
	for _, name := range []string{"user_summary", "order_totals", "activity_log"} {
		o.post("/snapshot", fmt.Sprintf(`{"projectionName":%q}`, name)).json(`{"snapshotCreated":true,"version":1}`)
	}
	o.emit("Noted", `1`, 2)
	o.get("/events").json(`{"events":[$any],"totalEvents":2,"currentVersion":2}`)
}

func eventRestart(o *object) {
	made := o.emit("Noted", `{"a":1}`, 1)
	o.restart()
	o.get("/events").json(listed(1, strings.Replace(stored(`"type":"Noted","data":{"a":1},`, 1), "$uuid", made[0], 1)))
	o.emit("Noted", `{"a":2}`, 2)
	o.post("/events", `{"expectedVersion":1}`).text(http.StatusConflict, "Concurrency conflict")
}

// eventTotals makes snapshots at different versions and demands that a restart
// counts nothing twice and forgets nothing.
func eventTotals(o *object) {
	version := 0
	emit := func(kind, data string) string {
		version++
		return o.emit(kind, data, version)[1]
	}
	emit("UserCreated", `{"userId":"u1","email":"a@b"}`)
	emit("UserCreated", `{"userId":"u2","email":"c@d"}`)
	orders := 0
	for i := range 120 { // more than fit into one snapshot
		orders++
		emit("OrderCompleted", `{"userId":"u1","total":2}`)
		switch i {
		case 10:
			o.post("/snapshot", `{"projectionName":"user_summary"}`).json(`{"snapshotCreated":true,"version":13}`)
			emit("UserDeleted", `{"userId":"u2"}`)
		case 20:
			o.post("/snapshot", `{"projectionName":"order_totals"}`).json(`{"snapshotCreated":true,"version":24}`)
		}
	}
	check := func() {
		o.t.Helper()
		o.get("/projection/user_summary").json(projected("user_summary",
			fmt.Sprintf(`{"u1":{"userId":"u1","email":"a@b","createdAt":$ms,"orderCount":%d,"totalSpent":%d}}`, orders, 2*orders), version))
		totals := o.get("/projection/order_totals").body
		if !strings.Contains(totals, `"monthly":{`) || !strings.Contains(totals, fmt.Sprintf(`"total":%d}`, 2*orders)) {
			o.t.Errorf("order totals = %s, want %d orders of 2", totals, orders)
		}
		if got := strings.Count(o.get("/projection/activity_log").body, `"eventId"`); got != version {
			o.t.Errorf("the activity log has %d entries, want %d", got, version)
		}
	}
	check()
	o.restart()
	check()
	orders++
	emit("OrderCompleted", `{"userId":"u1","total":2}`)
	o.restart()
	check()
}

func eventEviction(o *object) {
	o.emit("UserCreated", `{"userId":"u1","email":"a@b"}`, 1)
	o.elapse(time.Hour)
	o.emit("OrderCompleted", `{"userId":"u1","total":3}`, 2)
	o.elapse(25 * time.Hour) // another day, perhaps another month
	o.emit("OrderCompleted", `{"userId":"u1","total":4}`, 3)
	totals := o.get("/projection/order_totals").json(projected("order_totals",
		`{"daily":{"$text":{"count":1,"total":3},"$text":{"count":1,"total":4}},"monthly":{"$text":{$any}}}`, 3))
	if months := totals[3]; months != `"count":2,"total":7` && !strings.Contains(months, `:{"count":1,"total":4`) {
		o.t.Errorf("monthly totals = %s, want 2 orders of 7 in sum", months)
	}
	o.get("/projection/user_summary").json(projected("user_summary",
		`{"u1":{"userId":"u1","email":"a@b","createdAt":$ms,"orderCount":2,"totalSpent":7}}`, 3))
}
