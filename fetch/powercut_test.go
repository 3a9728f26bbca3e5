package fetch_test

import (
	"encoding/base64"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/popfetch/popfetch/internal/poptest"
)

// powerCut is a moment at which the power may fail: the disk as it stands then, and the maildrops.
type powerCut struct {
	event int    // of the trace
	after string // what has happened last
	sync  bool   // that was a sync
	quit  bool   // that was QUIT
	disk  *disk
	left  map[string][]poptest.Message // by user, what the server still holds
}

// eachCut goes through a trace of runs that began with this disk and these maildrops, and tells of
// each moment after which the disk or a maildrop is another.
func (tr *callTrace) eachCut(d *disk, drops map[string][]poptest.Message, cut func(*powerCut)) {
	type half struct {
		call  tracedCall
		begin bool
	}
	events := make(map[int]half)
	last := 0
	for _, c := range tr.calls {
		if c.to > 0 { // else the program was killed before it
			events[c.from], events[c.to] = half{c, true}, half{c, false}
			last = max(last, c.to)
		}
	}
	changes := make(map[int]*diskOp) // by their first event
	syncs := make(map[int][]*diskOp)
	server := &powerServer{left: drops, sessions: make(map[string]*powerSession)}
	cut(&powerCut{after: "nothing", disk: d, left: server.left})
	for i := 1; i <= last; i++ {
		h, known := events[i]
		if !known {
			continue
		}
		changed := false
		isSync := strings.HasSuffix(h.call.Name, "sync") || h.call.Name == "syncfs"
		switch {
		case isSocket(h.call.Call):
			changed = h.begin && server.hears(h.call)
		case isSync && h.begin:
			syncs[i] = d.covered(h.call.Call)
		case isSync:
			for _, o := range syncs[h.call.from] {
				o.durable, changed = true, true
			}
		case h.begin:
			changes[i] = d.begin(h.call.Call)
			changed = changes[i] != nil
		case changes[h.call.from] != nil:
			changes[h.call.from].done = true
		}
		if changed {
			cut(&powerCut{i, h.call.Name + " of " + h.call.Path, isSync, isSocket(h.call.Call), d, server.left})
		}
	}
}

// powerServer follows what the server is told: DELE takes effect when QUIT comes.
type powerServer struct {
	left     map[string][]poptest.Message
	sessions map[string]*powerSession // by socket
}

type powerSession struct {
	user     string
	messages []poptest.Message // as they were listed
	deleted  map[string]bool   // unique-ids
}

var (
	plainLogin = regexp.MustCompile(`(?m)^AUTH PLAIN (\S+)\r\n`)
	deleteWord = regexp.MustCompile(`DELE (\d+)\r\n`)
)

// hears takes in what is sent, and reports whether it is QUIT.
func (p *powerServer) hears(c tracedCall) bool {
	text := string(c.Data)
	if m := plainLogin.FindStringSubmatch(text); m != nil {
		response, _ := base64.StdEncoding.DecodeString(m[1]) // what is no user has no maildrop
		user := strings.Split(string(response)+"\x00", "\x00")[1]
		p.sessions[c.Path] = &powerSession{user: user, messages: p.left[user], deleted: make(map[string]bool)}
	}
	s := p.sessions[c.Path]
	for _, m := range deleteWord.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		s.deleted[s.messages[n-1].UniqueID] = true
	}
	if text != "QUIT\r\n" || s == nil {
		return false
	}
	p.left = maps.Clone(p.left) // the older moments keep theirs
	p.left[s.user] = slices.DeleteFunc(slices.Clone(p.left[s.user]), func(m poptest.Message) bool { return s.deleted[m.UniqueID] })
	return true
}

// powerEffort is how many fates of the changes that are not durable are tried at each moment.
type powerEffort struct {
	syncs  bool // only moments after a sync or QUIT, with nothing there that is not durable; no other field counts then
	quits  bool // the same after QUIT alone
	all    int  // up to so many changes, all subsets
	single bool // each change there alone, and missing alone, and each write half done or of zeros
	random int
}

// fates returns what may have become of the changes.
func (e powerEffort) fates(cut *powerCut, rng *rand.Rand) []map[*diskOp]fate {
	d := cut.disk
	switch {
	case e.syncs && (cut.sync || cut.quit), e.quits && cut.quit:
		return []map[*diskOp]fate{d.all(absent)}
	case e.syncs, e.quits:
		return nil
	}
	pending := d.pending()
	fates := []map[*diskOp]fate{d.all(absent), d.all(present)}
	if len(pending) <= e.all {
		for subset := range 1 << len(pending) {
			one := make(map[*diskOp]fate)
			for i, o := range pending {
				one[o] = fate(subset >> i & 1)
			}
			fates = append(fates, one)
		}
	}
	for _, o := range pending {
		if !e.single {
			break
		}
		alone := d.all(absent)
		alone[o] = present
		fates = append(fates, alone)
		how := []fate{absent}
		if o.kind == opWrite {
			how = append(how, halved, zeroed)
		}
		for _, f := range how {
			others := d.all(present)
			others[o] = f
			fates = append(fates, others)
		}
	}
	for range e.random {
		one := make(map[*diskOp]fate)
		for _, o := range pending {
			one[o] = fate(rng.IntN(2))
			if o.kind == opWrite {
				one[o] = fate(rng.IntN(4))
			}
		}
		fates = append(fates, one)
	}
	return fates
}
