package actor

// Target says which object an event is for.
type Target struct {
	Class string
	ID    ID
	Name  string // "" when the object was reached by its ID
}
