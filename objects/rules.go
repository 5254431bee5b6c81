package objects

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"
)

// The rules of the three projections: what an event changes in which row. They
// read rows and facts and change nothing.

const maxActivities = 1000 // in activity_log

// userTotal is a row of user_summary, named by the user.
type userTotal struct {
	UserID     value   `json:"userId,omitempty"`
	Email      value   `json:"email,omitempty"`
	CreatedAt  int64   `json:"createdAt"`
	OrderCount int64   `json:"orderCount"`
	TotalSpent float64 `json:"totalSpent"`
}

func userSummary(ctx context.Context, p *projection, f facts) (rows, error) {
	switch f.kind {
	case "UserCreated":
		u := userTotal{UserID: f.data.get("userId"), Email: f.data.get("email"), CreatedAt: f.Timestamp}
		return rows{f.user: encode(u)}, nil
	case "UserDeleted":
		return rows{f.user: nil}, nil
	case "OrderCompleted":
		u, ok, err := row[userTotal](ctx, p, f.user)
		if err != nil || !ok {
			return nil, err
		}
		u.OrderCount++
		if u.TotalSpent += f.sum; math.IsInf(u.TotalSpent, 0) {
			return nil, errInvalid
		}
		return rows{f.user: encode(u)}, nil
	}
	return nil, nil
}

// orderTotal is a row of order_totals, named "daily/2006-01-02" or
// "monthly/2006-01", by UTC.
type orderTotal struct {
	Count int64   `json:"count"`
	Total float64 `json:"total"`
}

func orderTotals(ctx context.Context, p *projection, f facts) (rows, error) {
	if f.kind != "OrderCompleted" {
		return nil, nil
	}
	changed := rows{}
	for _, layout := range []string{"daily/2006-01-02", "monthly/2006-01"} {
		name := time.UnixMilli(f.Timestamp).UTC().Format(layout)
		t, _, err := row[orderTotal](ctx, p, name)
		if err != nil {
			return nil, err
		}
		t.Count++
		if t.Total += f.sum; math.IsInf(t.Total, 0) {
			return nil, errInvalid
		}
		changed[name] = encode(t)
	}
	return changed, nil
}

func shapeTotals(all object) any {
	totals := struct {
		Daily   object `json:"daily"`
		Monthly object `json:"monthly"`
	}{}
	for _, m := range all {
		if day, ok := strings.CutPrefix(m.name, "daily/"); ok {
			totals.Daily = append(totals.Daily, member{day, m.value})
		} else if month, ok := strings.CutPrefix(m.name, "monthly/"); ok {
			totals.Monthly = append(totals.Monthly, member{month, m.value})
		}
	}
	return totals
}

// logEntry is a row of activity_log, named by the event's version.
type logEntry struct {
	EventID   string `json:"eventId"`
	Type      value  `json:"type,omitempty"`
	Timestamp int64  `json:"timestamp"`
	Summary   string `json:"summary"`
}

func activityLog(_ context.Context, _ *projection, f facts) (rows, error) {
	name := func(version int64) string { return fmt.Sprintf("%016d", version) }
	changed := rows{name(f.Version): encode(logEntry{f.ID, f.Type, f.Timestamp, f.summary()})}
	if f.Version > maxActivities {
		changed[name(f.Version-maxActivities)] = nil
	}
	return changed, nil
}

func shapeActivities(all object) any {
	activities := struct {
		Activities []value `json:"activities"`
	}{[]value{}}
	for _, m := range all {
		activities.Activities = append(activities.Activities, m.value)
	}
	return activities
}
