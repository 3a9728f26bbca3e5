package poptest

import "time"

// Action is what a [Server] does with one command; the zero value: what it always does. [Refuse], [Reply], [Cut], [Reset] and
// [Stall] make the usual ones.
type Action struct {
	Delay  time.Duration // wait so long first
	Refuse string        // answer -ERR and this text
	Reply  []byte        // answer these octets
	End    End           // end the session at octet At of the reply
	At     int64         // Whole: after the reply
	Effect Effect        // whether the command does what it should (QUIT deletes, PASS logs in)

	Pieces  int           // send the reply in pieces of so many octets, each by a write of its own; zero: as it comes
	Pause   time.Duration // between pieces
	Endless []byte        // behind Reply: these octets over and over, until the client goes away
}

// Whole as [Action.At] is the end of the reply, whatever its length.
const Whole int64 = -1

// End is how an [Action] ends the session.
type End int

// The ends of a session. Nothing is deleted by a session that ends so, unless QUIT had its effect.
const (
	GoOn       End = iota
	EndByCut       // FIN, under TLS without close_notify
	EndByReset     // RST
	EndByStall     // silence until the client goes away
)

// Effect says whether a command does what it should.
type Effect int

// The effects. A command that is refused or answered by Reply has none by default, any other has its own.
const (
	EffectDefault Effect = iota
	EffectNone
	EffectFull
)

// Refuse answers -ERR and text; the command has no effect.
func Refuse(text string) Action { return Action{Refuse: text} }

// Reply answers octets and nothing else; the command has no effect.
func Reply(octets []byte) Action { return Action{Reply: octets} }

// Cut closes the connection after at octets of the reply.
func Cut(at int64) Action { return Action{End: EndByCut, At: at} }

// Reset sends RST after at octets of the reply; what was sent may be lost.
func Reset(at int64) Action { return Action{End: EndByReset, At: at} }

// Stall falls silent after at octets of the reply.
func Stall(at int64) Action { return Action{End: EndByStall, At: at} }

// says tells whether the action has words of its own.
func (a Action) says() bool { return a.Refuse != "" || a.Reply != nil || a.Endless != nil }

// hasEffect tells whether the command is to be carried out.
func (a Action) hasEffect() bool {
	if a.Effect == EffectDefault {
		return !a.says()
	}
	return a.Effect == EffectFull
}
