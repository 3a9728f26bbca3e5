package pop3

import (
	"strconv"
	"time"
)

// windowCommandOctets limits the octets of unanswered commands. They fit in any usual buffer of a
// socket. Otherwise the client could wait to write while the server waits for the client to read.
const windowCommandOctets = 16 << 10

// window decides which commands of a pipeline may be sent now.
type window struct {
	next            func() (number int, octets int64, ok bool)
	keyword, suffix string
	most            int   // the upper limit of commands
	commands        int   // how many commands may be unanswered now; see adapt
	octets          int64 // how many announced octets may be unanswered

	unanswered    []request
	ahead         *request // taken from the sequence, but not sent yet for lack of room
	ended         bool     // the sequence has ended, or had a number that cannot be sent
	refused       answer   // the answer for that number
	announced     int64    // sum of the octets of unanswered
	commandOctets int      // sum of the lengths of the unanswered commands
	refillAt      int      // refill only when so few are unanswered; commands then share packets
	filled        int      // how many were unanswered after the last refill
	filledAt      time.Time
}

// leastWindow is the lowest limit of unanswered commands, for a slow server and until its speed is
// known.
const leastWindow = 100

// adapt sets the limit to the number of commands that the server answers in a second. A fast server
// then always has work. With a slow one, a caller that wants to stop does not wait long for the
// messages that were already requested.
func (w *window) adapt() {
	answered, took := w.filled-len(w.unanswered), time.Since(w.filledAt)
	if answered > 0 && w.most > leastWindow {
		perSecond := int64(answered) * int64(time.Second) / max(int64(took), 1)
		w.commands = int(min(max(perSecond, leastWindow), int64(w.most)))
	}
}

// refill returns the commands that may be sent now, and counts them as unanswered.
func (w *window) refill() []command {
	if len(w.unanswered) > w.refillAt {
		return nil
	}
	w.adapt()
	var commands []command
	for w.isOpen() && w.take() {
		req, cmd := *w.ahead, w.command(*w.ahead)
		if !w.hasRoom(req, cmd) {
			break
		}
		w.ahead = nil
		w.unanswered = append(w.unanswered, req)
		w.announced += w.counted(req)
		w.commandOctets += len(cmd.line()) + len("\r\n")
		commands = append(commands, cmd)
	}
	w.refillAt = len(w.unanswered) / 2
	w.filled, w.filledAt = len(w.unanswered), time.Now()
	return commands
}

// take makes ahead the next request, and reports whether there is one.
func (w *window) take() bool {
	if w.ahead != nil {
		return true
	}
	if w.ended {
		return false
	}
	number, octets, ok := w.next()
	req := request{number: number, octets: octets}
	if !ok {
		w.ended = true
		return false
	}
	if err := checkNumber(w.keyword, number); err != nil {
		w.ended, w.refused = true, answer{req, err}
		return false
	}
	w.ahead = &req
	return true
}

func (w *window) command(req request) command {
	return command{keyword: w.keyword, args: strconv.Itoa(req.number) + w.suffix}
}

// isOpen reports whether there may be room at all. If not, nothing is taken from the sequence,
// because each number that is taken is also sent, even if the caller wants to stop meanwhile.
func (w *window) isOpen() bool {
	return len(w.unanswered) < min(2, w.commands) || len(w.unanswered) < w.commands && w.announced < w.octets
}

// hasRoom reports whether req may be sent in addition to the unanswered requests. Two commands are
// always allowed unless pipelining is off. Otherwise pipelining would gain nothing with large
// messages.
func (w *window) hasRoom(req request, cmd command) bool {
	if len(w.unanswered) < min(2, w.commands) {
		return true
	}
	return len(w.unanswered) < w.commands &&
		w.commandOctets+len(cmd.line())+len("\r\n") <= windowCommandOctets &&
		w.announced+w.counted(req) <= w.octets
}

// counted returns the octets that req adds to announced. Impossible sizes are cut, so that the sum
// does not overflow.
func (w *window) counted(req request) int64 { return min(max(req.octets, 0), w.octets) }

// oldest returns the request whose answer is due, or the zero value if there is none.
func (w *window) oldest() request {
	if len(w.unanswered) == 0 {
		return request{}
	}
	return w.unanswered[0]
}

// pop removes the oldest request, which is answered.
func (w *window) pop() {
	req := w.unanswered[0]
	w.unanswered = w.unanswered[1:]
	w.announced -= w.counted(req)
	w.commandOctets -= len(w.command(req).line()) + len("\r\n")
}
