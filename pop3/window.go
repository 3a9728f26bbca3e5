package pop3

import (
	"strconv"
	"time"
)

// windowCommandOctets bounds the octets of unanswered commands. They fit in any usual buffer of a socket, so that writing
// never waits for a server that does not read before its replies are read.
const windowCommandOctets = 16 << 10

// window decides which commands of a pipeline may be sent now.
type window struct {
	next            func() (number int, octets int64, ok bool)
	keyword, suffix string
	most            int   // how many commands may ever be unanswered
	commands        int   // how many may be now: what the server answers in a second; see adapt
	octets          int64 // how many announced octets may be

	unanswered    []request
	ahead         *request // taken from the sequence while there was no room for it
	ended         bool     // the sequence, or by a number that cannot be sent
	refused       answer   // for that number
	announced     int64    // octets of unanswered
	commandOctets int      // of unanswered
	refillAt      int      // no refill before so few are unanswered, so that commands share packets
	filled        int      // how many were unanswered after the last refill
	filledAt      time.Time
}

// leastWindow is how many commands may be unanswered whatever the server takes for them, and as long as that is not known.
const leastWindow = 100

// adapt lets as many commands be unanswered as the server answers in a second. A fast one is never without work then, and
// with a slow one it does not take long until the caller, who wants to stop, has what was asked for.
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

// take sees to it that ahead is the next request, and tells whether there is one.
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

// isOpen tells whether there can be room at all. Nothing is taken from the sequence before that: what has been taken is
// going to be sent, even if the caller wants to stop meanwhile.
func (w *window) isOpen() bool {
	return len(w.unanswered) < min(2, w.commands) || len(w.unanswered) < w.commands && w.announced < w.octets
}

// hasRoom tells whether req may be sent with what is unanswered. Two commands always may, or nothing would be gained with
// large messages, unless pipelining is off.
func (w *window) hasRoom(req request, cmd command) bool {
	if len(w.unanswered) < min(2, w.commands) {
		return true
	}
	return len(w.unanswered) < w.commands &&
		w.commandOctets+len(cmd.line())+len("\r\n") <= windowCommandOctets &&
		w.announced+w.counted(req) <= w.octets
}

// counted is what req counts in announced: not what cannot be, so that the sum does not overflow.
func (w *window) counted(req request) int64 { return min(max(req.octets, 0), w.octets) }

// oldest returns the request whose answer is due; the zero value if there is none.
func (w *window) oldest() request {
	if len(w.unanswered) == 0 {
		return request{}
	}
	return w.unanswered[0]
}

// pop takes the oldest request out, since it is answered.
func (w *window) pop() {
	req := w.unanswered[0]
	w.unanswered = w.unanswered[1:]
	w.announced -= w.counted(req)
	w.commandOctets -= len(w.command(req).line()) + len("\r\n")
}
