package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"unicode/utf8"

	"github.com/popfetch/popfetch/seen"
)

// stateError is a fault of what seen import reads. Nothing was written.
type stateError struct {
	line int
	err  error
}

func (e *stateError) Error() string {
	if e.line == 0 {
		return "seen import: standard input is empty; nothing was imported"
	}
	return fmt.Sprintf("seen import: line %d: %v; nothing was imported", e.line, e.err)
}

// storeError is an error of the store while the lines are studied. It is no fault of a line.
type storeError struct{ error }

// mostLine is how many octets a line may have.
const mostLine = 16 << 20

// restored is the output of seen import with --json. Its field names are part of the contract.
type restored struct {
	Account  string `json:"account"`
	Imported int    `json:"imported"`
	Present  int    `json:"present"`   // were there already
	SetAside int    `json:"set_aside"` // messages without a record
}

// seenImport reads what seen export has printed from standard input. It first reads all of it and
// compares it with what is there, while it has the locks of the accounts. Then it writes the accounts,
// each in one step.
func (p *program) seenImport(ctx context.Context) error {
	if len(p.words) > 0 || isTerminal(os.Stdin) {
		return usagef("seen import: it reads from standard input what popfetch seen export has printed, " +
			"for example: popfetch seen import < FILE")
	}
	store, err := p.openState(ctx, toWrite)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // each commit was durable by itself
	file, err := copyInput(os.Stdin)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it has no name
	im := &stateImport{store: store, file: file}
	defer im.unlock()
	if err := im.study(ctx); err != nil {
		return err
	}
	for _, part := range im.parts {
		if err := im.write(ctx, part); err != nil {
			return fmt.Errorf("account %s: %w", part.ledger.Account().Name, err)
		}
		if err := p.tellRestored(part); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) tellRestored(part *statePart) error {
	line := restored{part.ledger.Account().Name, part.imported, part.present, len(part.asides)}
	if p.view.json {
		return p.term.printJSON(line)
	}
	return p.term.printf("%s: %d records imported, %d were there already; %d messages set aside\n",
		printable(line.Account), line.Imported, line.Present, line.SetAside)
}

// copyInput copies the input to a file without a name, so that it can be read twice.
func copyInput(from io.Reader) (*os.File, error) {
	file, err := os.CreateTemp("", "popfetch-import-")
	if err != nil {
		return nil, fmt.Errorf("seen import: %w; TMPDIR may name another folder", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if _, err := io.Copy(file, from); err != nil {
		return nil, errors.Join(fmt.Errorf("reading standard input: %w", err), file.Close())
	}
	return file, nil
}

// stateImport is one import.
type stateImport struct {
	store  seen.Store
	file   *os.File
	parts  []*statePart
	holds  []seen.Hold
	counts stateLine // of the lines so far
}

// statePart is what is to be written of one account.
type statePart struct {
	ledger   seen.Ledger // while the lines are studied, one that only reads
	known    bool        // the store knows the account
	standing *standingFields
	from, to int64  // the octets of the account's records in the file
	skip     []bool // which of the records are there already
	asides   []seen.Aside
	imported int
	present  int

	last     seen.Key // of the records, and then of the asides
	inAsides bool
	recorded *cursor           // the records in the ledger
	setAside map[seen.Key]bool // the ledger has these
}

// unlock gives the locks back.
func (im *stateImport) unlock() {
	for _, hold := range im.holds {
		_ = hold.Release() // the lock ends with the process
	}
}

// stateLines yields the lines of the file from an octet on, with their offsets.
func stateLines(file *os.File, from, to int64) iter.Seq2[int64, []byte] {
	return func(yield func(int64, []byte) bool) {
		scanner := bufio.NewScanner(io.NewSectionReader(file, from, to-from))
		scanner.Buffer(make([]byte, 64<<10), mostLine)
		scanner.Split(scanWholeLines)
		at := from
		for scanner.Scan() {
			if !yield(at, scanner.Bytes()) {
				return
			}
			at += int64(len(scanner.Bytes()))
		}
		if scanner.Err() != nil {
			yield(at, nil)
		}
	}
}

// scanWholeLines is bufio.ScanLines, but keeps the line ends.
func scanWholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// readStateLine reads one line.
func readStateLine(text []byte) (stateLine, error) {
	var line struct {
		Version int `json:"version"`
		stateLine
	}
	if text == nil {
		return stateLine{}, fmt.Errorf("it is longer than %d octets, or cannot be read", mostLine)
	}
	if !utf8.Valid(text) {
		return stateLine{}, errors.New("it is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&line); err != nil {
		return stateLine{}, fmt.Errorf("it is no line of seen export: %w", err)
	}
	if decoder.More() {
		return stateLine{}, errors.New("something follows the JSON object")
	}
	if line.Version != jsonVersion {
		return stateLine{}, fmt.Errorf("its version is %d, and this popfetch reads version %d", line.Version, jsonVersion)
	}
	return line.stateLine, nil
}

// study reads all lines and compares them with what is there. It writes nothing.
func (im *stateImport) study(ctx context.Context) error {
	size, err := im.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	n, ended := 0, false
	defer func() {
		for _, part := range im.parts {
			part.recorded.stop()
		}
	}()
	for at, text := range stateLines(im.file, 0, size) {
		n++
		line, err := readStateLine(text)
		switch {
		case err != nil:
		case ended:
			err = errors.New("it stands behind the end of the export")
		case (line.Type == lineState) != (n == 1):
			err = errors.New("an export begins with one line of the type state")
		case line.Type == lineEnd:
			ended = true
			if got := im.counts; line.Accounts != got.Accounts || line.Records != got.Records || line.Asides != got.Asides {
				err = fmt.Errorf("the export had %d accounts, %d records and %d asides, and %d, %d and %d were read",
					line.Accounts, line.Records, line.Asides, got.Accounts, got.Records, got.Asides)
			}
		default:
			err = im.take(ctx, line, at+int64(len(text)))
		}
		var failed storeError
		switch {
		case errors.As(err, &failed):
			return failed.error
		case err != nil:
			return &stateError{n, err}
		}
	}
	if !ended {
		return &stateError{n, errors.New("the export is cut: its last line, of the type end, is missing")}
	}
	return nil
}

// take takes up a line of an account, which ends in the file at end.
func (im *stateImport) take(ctx context.Context, line stateLine, end int64) error {
	switch line.Type {
	case lineState:
		return nil
	case lineAccount:
		im.counts.Accounts++
		return im.begin(ctx, line, end)
	case lineRecord, lineAside:
	default:
		return fmt.Errorf("its type is %q, which is unknown", line.Type)
	}
	if len(im.parts) == 0 {
		return errors.New("it stands before the line of its account")
	}
	part := im.parts[len(im.parts)-1]
	if name := part.ledger.Account().Name; line.Account != name {
		return fmt.Errorf("it belongs to account %q, and stands among the lines of account %q", line.Account, name)
	}
	if line.Type == lineAside {
		im.counts.Asides++
		return part.takeAside(ctx, line)
	}
	im.counts.Records++
	part.to = end
	return part.takeRecord(line)
}

// begin begins an account: it takes the account's lock, and looks at what is there.
func (im *stateImport) begin(ctx context.Context, line stateLine, end int64) error {
	if line.Account == "" || line.Server == "" || line.User == "" {
		return errors.New("it lacks the account's name, its server or its user")
	}
	for _, part := range im.parts {
		if part.ledger.Account().Name == line.Account {
			return fmt.Errorf("account %q comes twice", line.Account)
		}
	}
	if n := len(im.parts); n > 0 {
		im.parts[n-1].recorded.stop()
	}
	hold, err := lockAccount(ctx, im.store, line.Account)
	if err != nil {
		return storeError{err}
	}
	im.holds = append(im.holds, hold)
	ledger, err := im.store.Look(ctx, line.Account, line.Server, line.User)
	if err != nil {
		return storeError{fmt.Errorf("account %s: %w", line.Account, err)}
	}
	a := ledger.Account()
	if a.Server != line.Server || a.User != line.User {
		return fmt.Errorf("account %q has the user %q at %s here, and %q at %s in the export; "+
			"give it another name by popfetch seen rename", line.Account, a.User, a.Server, line.User, line.Server)
	}
	part := &statePart{ledger: ledger, known: !a.Since.IsZero(), standing: line.Standing, from: end, to: end,
		recorded: newCursor(ledger.All(ctx)), setAside: make(map[seen.Key]bool)}
	im.parts = append(im.parts, part)
	asides, err := ledger.Asides(ctx)
	if err != nil {
		return storeError{err}
	}
	for _, aside := range asides {
		part.setAside[aside.Key] = true
	}
	return nil
}

// write writes an account.
func (im *stateImport) write(ctx context.Context, part *statePart) error {
	a := part.ledger.Account()
	ledger, err := im.store.Enter(ctx, a.Name, a.Server, a.User)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	records := func(yield func(seen.Record) bool) {
		n := 0
		for _, text := range stateLines(im.file, part.from, part.to) {
			n++
			if part.skip[n-1] {
				continue
			}
			line, err := readStateLine(text)
			var record seen.Record
			if err == nil {
				record, err = readRecord(line)
			}
			if err != nil { // it was read before; the disk must be broken
				cancel(err)
				return
			}
			if !yield(record) {
				return
			}
		}
	}
	if part.known && part.imported > 0 {
		// What was delivered into a folder of another machine only seems to be removed here.
		if err := ledger.ChangeStanding(ctx, func(st *seen.Standing) { st.Kept = "" }); err != nil {
			return err
		}
	}
	if part.imported > 0 || len(part.asides) > 0 {
		if err := ledger.Apply(ctx, seen.Changes{Records: records, Asides: part.asides}); err != nil {
			return err
		}
	}
	if part.known || part.standing == nil {
		return nil
	}
	return ledger.ChangeStanding(ctx, part.standing.apply)
}

// cursor reads records one by one.
type cursor struct {
	next    func() (seen.Record, error, bool)
	stop    func()
	current seen.Record
	whole   bool // current is a record
	begun   bool
}

func newCursor(records iter.Seq2[seen.Record, error]) *cursor {
	c := new(cursor)
	c.next, c.stop = iter.Pull2(records)
	return c
}

// seek returns the record of a key. The keys of successive calls ascend.
func (c *cursor) seek(key seen.Key) (record seen.Record, found bool, err error) {
	for !c.begun || c.whole && c.current.Key.Compare(key) < 0 {
		c.begun = true
		c.current, err, c.whole = c.next()
		if err != nil {
			return seen.Record{}, false, storeError{err}
		}
	}
	return c.current, c.whole && c.current.Key == key, nil
}
