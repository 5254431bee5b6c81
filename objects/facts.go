package objects

// facts is what the projections read of an event.
type facts struct {
	event

	kind string  // the event's type, "undefined" if it has none
	user string  // of UserCreated, OrderCompleted and UserDeleted: data.userId as text
	data object  // of those three
	sum  float64 // of OrderCompleted: data.total
}

// maxUserBytes bounds data.userId, which is part of a key.
const maxUserBytes = 1024

// factsOf reads an event. One that a projection could not take is refused.
func factsOf(e event) (facts, error) {
	f := facts{event: e, kind: "undefined"}
	var ok bool
	if e.Type != nil {
		if f.kind, ok = textOf(e.Type); !ok {
			return f, errInvalid
		}
	}
	switch f.kind {
	default:
		return f, nil
	case "UserCreated", "OrderCompleted", "UserDeleted":
	}
	if len(e.Data) == 0 || e.Data[0] != '{' {
		return f, errInvalid
	}
	var err error
	if f.data, err = parseObject(e.Data); err != nil {
		return f, errInvalid
	}
	if f.user, ok = display(f.data.get("userId")); !ok || len(f.user) > maxUserBytes {
		return f, errInvalid
	}
	switch f.kind {
	case "UserCreated":
		_, ok = display(f.data.get("email"))
	case "OrderCompleted":
		f.sum, ok = f.data.number("total")
	}
	if !ok {
		return f, errInvalid
	}
	return f, nil
}

// summary says what happened in a sentence.
func (f facts) summary() string {
	switch f.kind {
	case "UserCreated":
		email, _ := display(f.data.get("email"))
		return "User " + email + " created"
	case "OrderCompleted":
		return "Order completed for $" + string(encode(f.sum))
	case "UserDeleted":
		return "User " + f.user + " deleted"
	}
	return f.kind + " event occurred"
}

// display gives a value as JavaScript shows it in a text. It has no answer for
// objects and arrays.
func display(v value) (string, bool) {
	if v == nil {
		return "undefined", true
	}
	if n, ok := numberOf(v); ok {
		return string(encode(n)), true
	}
	switch v[0] {
	case '"':
		return textOf(v)
	case 'n', 't', 'f':
		return string(v), true
	}
	return "", false
}
