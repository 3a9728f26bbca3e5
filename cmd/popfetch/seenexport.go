package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/popfetch/popfetch/seen"
)

// stateLine is one line of seen export. Its field names are part of the contract. Which fields a line
// has depends on its type; popfetch(1) describes them.
type stateLine struct {
	Type    string `json:"type"` // state, account, record, aside or end
	Account string `json:"account,omitempty"`

	ExportedAt *time.Time      `json:"exported_at,omitempty"` // of state
	Server     string          `json:"server,omitempty"`      // of account
	User       string          `json:"user,omitempty"`
	Standing   *standingFields `json:"standing,omitempty"`

	UniqueID     string       `json:"unique_id,omitempty"` // of record and aside
	Copy         int          `json:"copy,omitempty"`
	Kind         string       `json:"kind,omitempty"` // of record
	Reason       string       `json:"reason,omitempty"`
	Octets       int64        `json:"octets,omitempty"` // as LIST announced them
	HeaderDigest string       `json:"header_digest,omitempty"`
	Came         *sumFields   `json:"came,omitempty"`
	Places       []placeField `json:"places,omitempty"`
	DeliveredAt  *time.Time   `json:"delivered_at,omitempty"`
	DeletedAt    *time.Time   `json:"deleted_at,omitempty"`
	AbsentAt     *time.Time   `json:"absent_at,omitempty"`

	Refusals int        `json:"refusals,omitempty"` // of aside
	Since    *time.Time `json:"since,omitempty"`
	LastAt   *time.Time `json:"last_at,omitempty"`
	Error    string     `json:"error,omitempty"`
	ToldAt   *time.Time `json:"told_at,omitempty"`
	MaxSize  int64      `json:"max_size,omitempty"`
	Dated    *time.Time `json:"dated,omitempty"`
	AskedAt  *time.Time `json:"asked_at,omitempty"`

	Accounts int `json:"accounts,omitempty"` // of end: how many lines of each type there were
	Records  int `json:"records,omitempty"`
	Asides   int `json:"asides,omitempty"`
}

// sumFields are the octets of a message and their SHA-256, which may be unknown.
type sumFields struct {
	Octets int64  `json:"octets"`
	SHA256 string `json:"sha256,omitempty"`
}

// placeField is a place of a message. The name is written like a unique-id.
type placeField struct {
	Target string `json:"target,omitempty"`
	Name   string `json:"name,omitempty"`
	sumFields
}

// standingFields are what an account has found out about its server, as far as it does not depend on
// this machine or on a password.
type standingFields struct {
	NotBefore     *time.Time `json:"not_before,omitempty"`
	Reason        string     `json:"reason,omitempty"`
	LockstepSince *time.Time `json:"lockstep_since,omitempty"`
	CameAt        *time.Time `json:"came_at,omitempty"`
	ThroughAt     *time.Time `json:"through_at,omitempty"`
	HostSessions  int        `json:"host_sessions,omitempty"`
	HostAt        *time.Time `json:"host_at,omitempty"`
	RanAt         *time.Time `json:"ran_at,omitempty"`
	HeldAt        *time.Time `json:"held_at,omitempty"`
	Shortfall     int        `json:"shortfall,omitempty"`
}

// The types of lines.
const (
	lineState   = "state"
	lineAccount = "account"
	lineRecord  = "record"
	lineAside   = "aside"
	lineEnd     = "end"
)

var kindWords = map[seen.Kind]string{
	seen.Delivered: "delivered", seen.Marked: "marked", seen.Imported: "imported", seen.Sanitized: "sanitized",
	seen.Dropped: "dropped", seen.Discarded: "discarded",
}

var reasonWords = map[seen.Reason]string{
	seen.Refused: "refused", seen.TooLarge: "too-large", seen.Wanted: "wanted", seen.Quarantined: "quarantined",
	seen.Suspect: "suspect", seen.Breaking: "breaking", seen.Old: "old", seen.Chosen: "chosen",
}

// seenExport prints the state of accounts, for seen import.
func (p *program) seenExport(ctx context.Context) error {
	store, err := p.openState(ctx, toRead)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // nothing was written
	accounts, err := accountsNamed(ctx, store, p.words)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	if err := p.term.printJSON(stateLine{Type: lineState, ExportedAt: &now}); err != nil {
		return err
	}
	end := stateLine{Type: lineEnd, Accounts: len(accounts)}
	for _, a := range accounts {
		if err := p.exportAccount(ctx, store, a, &end); err != nil {
			return err
		}
	}
	return p.term.printJSON(end)
}

// exportAccount prints all that is known of an account, and counts in end what it prints.
func (p *program) exportAccount(ctx context.Context, store seen.Store, a seen.Account, end *stateLine) error {
	ledger, err := store.Look(ctx, a.Name, a.Server, a.User)
	if err != nil {
		return fmt.Errorf("account %s: %w", a.Name, err)
	}
	standing, err := ledger.Standing(ctx)
	if err != nil {
		return err
	}
	line := stateLine{Type: lineAccount, Account: a.Name, Server: a.Server, User: a.User, Standing: standingOf(standing)}
	if err := p.term.printJSON(line); err != nil {
		return err
	}
	asides, err := ledger.Asides(ctx)
	if err != nil {
		return err
	}
	for r, err := range ledger.All(ctx) {
		if err != nil {
			return err
		}
		if err := p.term.printJSON(recordLine(a.Name, r)); err != nil {
			return err
		}
		end.Records++
	}
	for _, aside := range asides {
		if err := p.term.printJSON(asideLine(a.Name, aside)); err != nil {
			return err
		}
		end.Asides++
	}
	return nil
}

// recordLine is the line of a record.
func recordLine(account string, r seen.Record) stateLine {
	line := stateLine{
		Type: lineRecord, Account: account, UniqueID: writeID(r.UniqueID), Copy: r.Copy, Kind: kindWords[r.Kind],
		Octets: r.Listed, DeliveredAt: timeField(r.DeliveredAt),
		DeletedAt: timeField(r.DeletedAt), AbsentAt: timeField(r.AbsentAt),
	}
	if r.Digest != (seen.Digest{}) {
		line.HeaderDigest = hex.EncodeToString(r.Digest[:])
	}
	if r.Came != (seen.Sum{}) {
		came := sumOf(r.Came)
		line.Came = &came
	}
	for _, place := range r.Places {
		line.Places = append(line.Places, placeField{place.Target, writeID(place.Name), sumOf(place.Sum)})
	}
	return line
}

// asideLine is the line of a message that was set aside.
func asideLine(account string, a seen.Aside) stateLine {
	return stateLine{
		Type: lineAside, Account: account, UniqueID: writeID(a.UniqueID), Copy: a.Copy, Reason: reasonWords[a.Reason],
		Octets: a.Listed, Refusals: a.Count, Since: timeField(a.Since), LastAt: timeField(a.Last), Error: a.Text,
		ToldAt: timeField(a.ToldAt), MaxSize: a.MaxSize, Dated: timeField(a.Dated),
		AskedAt: timeField(a.Asked), AbsentAt: timeField(a.AbsentAt),
	}
}

// standingOf returns the portable part of a standing; nil: there is none.
func standingOf(st seen.Standing) *standingFields {
	fields := standingFields{
		NotBefore: timeField(st.NotBefore), Reason: st.Reason, LockstepSince: timeField(st.LockstepSince),
		CameAt: timeField(st.CameAt), ThroughAt: timeField(st.ThroughAt),
		HostSessions: st.HostSessions, HostAt: timeField(st.HostAt),
		RanAt: timeField(st.RanAt), HeldAt: timeField(st.HeldAt), Shortfall: st.Shortfall,
	}
	if fields == (standingFields{}) {
		return nil
	}
	return &fields
}

// timeField is a time of a line, in UTC; nil: unknown.
func timeField(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func sumOf(sum seen.Sum) sumFields {
	return sumFields{Octets: sum.Octets, SHA256: hexOf(sum.SHA256)}
}

// hexOf returns the digits of a SHA-256; "": it is unknown.
func hexOf(sum [sha256.Size]byte) string {
	if sum == [sha256.Size]byte{} {
		return ""
	}
	return hex.EncodeToString(sum[:])
}
