package fetch

import "fmt"

// Phase is the part of a run in which an error ended it.
type Phase string

// The phases of a run, in their order.
const (
	PhaseLock     Phase = "lock"
	PhaseState    Phase = "state"
	PhaseTarget   Phase = "target"
	PhaseOpen     Phase = "open"
	PhaseLogin    Phase = "login"
	PhaseList     Phase = "list"
	PhaseIdentify Phase = "identify"
	PhaseRetrieve Phase = "retrieve"
	PhaseDeliver  Phase = "deliver"
	PhaseRecord   Phase = "record"
	PhaseDelete   Phase = "delete"
	PhaseQuit     Phase = "quit"
)

// Error is what ended the run of an account.
type Error struct {
	Account string
	Phase   Phase
	Err     error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s: %v", e.Account, e.Phase, e.Err) }
func (e *Error) Unwrap() error { return e.Err }
