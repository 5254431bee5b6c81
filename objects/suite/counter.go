package suite

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

func counterCases() []script {
	return []script{
		{"counts", counterCounts},
		{"any method", counterMethods},
		{"parallel increments", counterParallel},
		{"restart", counterRestart},
		{"eviction", counterEviction},
	}
}

func counterCounts(o *object) {
	o.get("/get").json(`{"value":0}`)
	o.post("/increment", "").json(`{"value":1}`)
	o.post("/increment", "").json(`{"value":2}`)
	o.get("/get").json(`{"value":2}`)
	o.post("/reset", "").json(`{"value":0}`)
	o.get("/get").json(`{"value":0}`)
	o.post("/increment?by=5", "").json(`{"value":1}`)
	o.post("/increment", "a body that nobody reads").json(`{"value":2}`)
}

func counterMethods(o *object) {
	for i, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		o.call(method, "/increment", "").json(fmt.Sprintf(`{"value":%d}`, i+1))
		o.call(method, "/get", "").json(fmt.Sprintf(`{"value":%d}`, i+1))
	}
	o.call(http.MethodDelete, "/reset", "").json(`{"value":0}`)
	o.notFound("GET /", "GET /Get", "POST /increment/", "GET /get/x", "GET //get", "GET /%67et", "PUT /value")
}

func counterParallel(o *object) {
	const calls = 100
	var mu sync.Mutex
	seen := make(map[string]int)
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			a, err := o.try(http.MethodPost, "/increment", "")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				o.t.Errorf("increment: %v", err)
			}
			seen[a.body]++
		})
	}
	wg.Wait()
	for n := 1; n <= calls; n++ {
		if got := seen[fmt.Sprintf(`{"value":%d}`, n)]; got != 1 {
			o.t.Errorf("value %d was given %d times, want once", n, got)
		}
	}
	o.get("/get").json(fmt.Sprintf(`{"value":%d}`, calls))
}

func counterRestart(o *object) {
	o.post("/increment", "").json(`{"value":1}`)
	o.restart()
	o.post("/increment", "").json(`{"value":2}`)
	o.get("/get").json(`{"value":2}`)
}

func counterEviction(o *object) {
	o.post("/increment", "").json(`{"value":1}`)
	o.elapse(time.Hour)
	o.post("/increment", "").json(`{"value":2}`)
}
