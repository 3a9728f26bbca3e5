package sqlite

import (
	"testing"
	"time"

	"github.com/popfetch/popfetch/seen"
)

func TestStore_Standing(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	if st, err := (&ledger{store: s}).Standing(t.Context()); err != nil || !st.Equal(seen.Standing{}) {
		t.Errorf("Standing() of no account = %+v, %v, want a good one", st, err)
	}
	want := seen.Standing{
		Refusals: 2, Credential: []byte("c"), NotBefore: now.Add(time.Hour), Reason: "r", LockstepSince: now, Shortfall: 7,
		CameAt: now.Add(time.Hour), ThroughAt: now.Add(2 * time.Hour), HostSessions: 2, HostAt: now.Add(3 * time.Hour), Told: "t", ToldAt: now.Add(1),
		Proven: []byte("p"), ProvenAt: now.Add(-time.Hour), RanAt: now.Add(3 * time.Second), HeldAt: now.Add(4 * time.Second), Origin: "file",
	}
	if err := account.ChangeStanding(t.Context(), func(st *seen.Standing) { *st = want }); err != nil {
		t.Fatal(err)
	}
	if err := account.ChangeStanding(t.Context(), func(st *seen.Standing) { st.Refusals++ }); err != nil {
		t.Fatal(err)
	}
	want.Refusals = 3
	if st, err := account.Standing(t.Context()); err != nil || !st.Equal(want) {
		t.Errorf("Standing() = %+v, %v, want %+v", st, err, want)
	}
	if _, err := s.Enter(t.Context(), "work", "pop.example.org:995", "bob"); err != nil {
		t.Fatal(err)
	}
	if st, err := account.Standing(t.Context()); err != nil || !st.Equal(seen.Standing{}) {
		t.Errorf("Standing() with another user = %+v, %v, want a good one", st, err)
	}
}

// A change that changes nothing must not wait for another process's transaction.
func TestChangeStanding_nothingToChange(t *testing.T) {
	s := open(t)
	account := enter(t, s)
	letGo := hold(t, s)
	defer func() { _ = letGo() }()
	calls := 0
	if err := account.ChangeStanding(t.Context(), func(*seen.Standing) { calls++ }); err != nil || calls != 1 {
		t.Errorf("ChangeStanding() = %v after %d calls, want nil after one", err, calls)
	}
}
