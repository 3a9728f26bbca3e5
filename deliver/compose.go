package deliver

import (
	"regexp"
	"time"
)

// Member is one target of a fan.
type Member struct {
	Name   string // of the target; it stands in the places of messages
	Target Target
}

// NewFan returns a target that delivers each message to all its members.
func NewFan(members []Member, notes string) Target { panic("not built yet") }

// Routing says which target gets a message.
type Routing struct {
	Envelope  []string // headers that name the envelope recipient; the first that is found counts
	Rules     []Rule   // the first that matches decides
	Otherwise Target   // takes what no rule matches
}

// Rule sends messages to a target: by header if Headers is not empty, else by recipient.
type Rule struct {
	Headers   []string       // names of header fields, of which any may match
	Match     *regexp.Regexp // on the unfolded, trimmed value; nil: Equals decides
	Equals    string         // what the unfolded, trimmed value must be, with case
	Recipient string         // a glob for the envelope recipient, without case; * and ?
	Target    Target         // Drop{}: delivered nowhere
}

// NewRoute returns a target that hands each message to one of several targets.
func NewRoute(r Routing) Target { panic("not built yet") }

// Filter is a command that changes messages.
type Filter struct {
	Command string        // as the shell reads it
	Timeout time.Duration // for one message; zero means five minutes
	Notes   string        // the file of its notes
}

// NewFilter returns a target that gives inner what the command makes of each message.
func NewFilter(f Filter, inner Target) Target { panic("not built yet") }

// NewHeaders returns a target that puts header lines on top of each message for inner. The names
// are "return-path", "delivered-to", "received" and "popfetch".
func NewHeaders(names []string, inner Target) Target { panic("not built yet") }

// NewDated returns a target whose path has {year} and {month}, by the local time of delivery. It
// calls open with each path, once.
func NewDated(pattern string, open func(path string) Target) Target { panic("not built yet") }
