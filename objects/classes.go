package objects

import "github.com/holdfast-dev/holdfast/actor"

// Classes gives the classes by the names under which clients reach them.
func Classes() map[string]actor.Class {
	return map[string]actor.Class{
		"Counter":             {New: newCounter},
		"UserSession":         {New: newUserSession},
		"ChatRoom":            {New: newChatRoom},
		"DocumentEditor":      {New: newDocumentEditor},
		"GameSession":         {New: newGameSession},
		"CoordinationService": {New: newCoordinationService},
		"EventStore":          {New: newEventStore},
	}
}
