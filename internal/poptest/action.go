package poptest

import "time"

// Action is what a [Server] does with one command. The zero value carries the command out normally.
// [Refuse], [Reply], [Cut], [Reset] and [Stall] make the usual actions.
type Action struct {
	Delay  time.Duration // time to wait first
	Refuse string        // if set: answer -ERR and this text
	Reply  []byte        // if set: answer these octets
	End    End           // end the session at octet At of the reply
	At     int64         // Whole means after the reply
	Effect Effect        // whether the command is carried out (QUIT deletes, PASS logs in)

	Pieces  int           // octets of each write of the reply; 0: no limit
	Pause   time.Duration // pause between two pieces
	Endless []byte        // sent after Reply, again and again, until the client closes
}

// Whole as [Action.At] means the end of the reply, whatever its length is.
const Whole int64 = -1

// End is how an [Action] ends the session.
type End int

// These are the ends of a session. A session that ends like this deletes nothing, unless QUIT had
// its effect.
const (
	GoOn       End = iota
	EndByCut       // FIN; under TLS without close_notify
	EndByReset     // RST
	EndByStall     // silence until the client closes
)

// Effect says whether a command is carried out.
type Effect int

// These are the effects. By default a command is not carried out if the action has Refuse, Reply or
// Endless. Otherwise it is carried out.
const (
	EffectDefault Effect = iota
	EffectNone
	EffectFull
)

// Refuse answers -ERR and text. The command is not carried out.
func Refuse(text string) Action { return Action{Refuse: text} }

// Reply answers octets and nothing else. The command is not carried out.
func Reply(octets []byte) Action { return Action{Reply: octets} }

// Cut closes the connection after at octets of the reply.
func Cut(at int64) Action { return Action{End: EndByCut, At: at} }

// Reset sends RST after at octets of the reply. The client may lose octets that were sent before.
func Reset(at int64) Action { return Action{End: EndByReset, At: at} }

// Stall falls silent after at octets of the reply.
func Stall(at int64) Action { return Action{End: EndByStall, At: at} }

// says reports whether the action replaces the server's own reply.
func (a Action) says() bool { return a.Refuse != "" || a.Reply != nil || a.Endless != nil }

// hasEffect reports whether the command is carried out.
func (a Action) hasEffect() bool {
	if a.Effect == EffectDefault {
		return !a.says()
	}
	return a.Effect == EffectFull
}
