package foreign

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
)

// readSeen reads the account's cache. It has no account's name in it.
func (a *fdmAccount) readSeen(env Env) error {
	if a.cache == "" {
		a.note(a.line, "seen messages", "without new-only and cache, fdm keeps none",
			`initial = "none" leaves out what is on the server at the first run`)
		return nil
	}
	place := strings.NewReplacer("%h", env.Home, "%[home]", env.Home, "%u", env.user(),
		"%[user]", env.user()).Replace(a.cache)
	place = env.expand(place, env.Home)
	if !exists(place) {
		a.noState(env.short(place), "fdm has not kept any")
		return nil
	}
	f, err := openFile(place)
	if err != nil {
		return err
	}
	defer f.Close()
	ids, line, err := readFdmCache(bufio.NewReader(io.LimitReader(f, maxState)))
	if err != nil {
		return &Error{place, line, err}
	}
	a.SeenFile, a.InFile, a.Seen = place, len(ids), ids
	return nil
}

// readFdmCache reads entries of the form LENGTH UNIQUE-ID LF. The length says where a unique-id
// ends.
func readFdmCache(r *bufio.Reader) (seen []Seen, line int, err error) {
	broken := errors.New("is no entry of fdm's cache: LENGTH UNIQUE-ID")
	for line = 1; ; line++ {
		if _, err := r.Peek(1); err == io.EOF {
			return seen, line, nil
		}
		head, err := r.ReadSlice(' ')
		if err != nil {
			return nil, line, broken
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(string(head), " "), 10, 32)
		if err != nil || n == 0 || n > maxLine {
			return nil, line, broken
		}
		id := make([]byte, n+1)
		if _, err := io.ReadFull(r, id); err != nil || id[n] != '\n' {
			return nil, line, broken
		}
		seen = append(seen, Seen{UniqueID: string(id[:n])})
	}
}
