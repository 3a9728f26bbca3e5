package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"slices"
	"time"

	"github.com/popfetch/popfetch/seen"
	"github.com/popfetch/popfetch/seen/sqlite"
)

// A run of one account: new messages are delivered and recorded, and the next run knows them.
func Example() {
	dir, err := os.MkdirTemp("", "seen")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	store, err := sqlite.Open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	for range 2 {
		if err := run(ctx, store); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 2 new, 0 seen
	// 0 new, 2 seen
}

func run(ctx context.Context, store seen.Store) error {
	hold, err := store.Lock(ctx, "work")
	if err != nil {
		return err // errors.Is(err, seen.ErrLocked): another run has the account
	}
	defer hold.Release() //nolint:errcheck // the lock ends with the process
	ledger, err := store.Enter(ctx, "work", "pop.example.org:995", "alice")
	if err != nil {
		return err
	}
	listing := []seen.Entry{ // from UIDL and LIST
		{Number: 1, Octets: 1200, Key: seen.Key{UniqueID: "whqtswO00WBw418f9t5JxYwZ"}},
		{Number: 2, Octets: 3400, Key: seen.Key{UniqueID: "QhdPYR:00WBw1Ph7x7"}},
	}
	diff, err := ledger.Diff(ctx, listing, time.Time{})
	if err != nil {
		return err
	}
	fmt.Printf("%d new, %d seen\n", len(diff.New), diff.Seen)
	for _, i := range diff.New {
		// Here the message is retrieved and delivered. It must survive a power cut before it is
		// recorded.
		record := seen.Record{Key: listing[i].Key, Kind: seen.Delivered, Listed: listing[i].Octets, DeliveredAt: time.Now()}
		if err := ledger.Apply(ctx, seen.Changes{Records: slices.Values([]seen.Record{record})}); err != nil {
			return err
		}
	}
	if diff.Unchanged {
		return nil
	}
	return ledger.Finish(ctx, diff, listing, nil, time.Now()) // after the positive reply to QUIT
}
