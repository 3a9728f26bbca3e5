package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/popfetch/popfetch/deliver"
)

// Two messages become visible together. By then both would survive a power cut.
func Example() {
	home, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(home)
	ctx := context.Background()

	target := deliver.NewMaildir(filepath.Join(home, "Maildir"))
	if err := target.Prepare(ctx, true); err != nil {
		log.Fatal(err)
	}
	batch, err := target.Begin(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var tokens []deliver.Token
	var deliveries []deliver.Delivery
	for _, uniqueID := range []string{"uid-1", "uid-2"} {
		token := deliver.NewToken("alice", "pop.example.org", uniqueID, 0, 26)
		d, err := batch.Create(ctx, deliver.Envelope{Token: token, UniqueID: uniqueID, Octets: 26})
		if err != nil {
			log.Fatal(err)
		}
		if _, err := d.Write([]byte("Subject: hello\r\n\r\nHello.\r\n")); err != nil {
			log.Fatal(err)
		}
		if err := d.Close(); err != nil {
			log.Fatal(err)
		}
		tokens, deliveries = append(tokens, token), append(deliveries, d)
	}
	if err := batch.Commit(ctx); err != nil {
		log.Fatal(err)
	}
	for _, d := range deliveries {
		if v := d.Verdict(); v.Outcome != deliver.Safe {
			log.Fatal(v.Err)
		}
	}

	found, err := target.Find(ctx, slices.Values(tokens), time.Time{})
	if err != nil {
		log.Fatal(err)
	}
	for _, token := range tokens {
		folder, name, _ := strings.Cut(found[token][0], "/")
		_, octets, _ := strings.Cut(name, ",S=")
		fmt.Println(folder, octets, "octets")
	}
	// Output:
	// new 23 octets
	// new 23 octets
}

// An *Error means that one message was refused. Any other error concerns the target as a whole.
func ExampleError() {
	mda := &deliver.MDA{Command: "echo the quota is used up >&2; exit 75"}
	ctx := context.Background()
	batch, err := mda.Begin(ctx)
	if err != nil {
		log.Fatal(err)
	}
	d, err := batch.Create(ctx, deliver.Envelope{Account: "work"})
	if err != nil {
		log.Fatal(err)
	}
	if err := d.Close(); err != nil {
		log.Fatal(err)
	}
	if err := batch.Commit(ctx); err != nil {
		log.Fatal(err)
	}
	verdict := d.Verdict()
	var refusal *deliver.Error
	if errors.As(verdict.Err, &refusal) {
		fmt.Println(refusal)
		fmt.Println("again later:", verdict.Outcome == deliver.Deferred)
	}
	// Output:
	// delivering to MDA "echo the quota is used up >&2; exit 75": exit status 75: the quota is used up
	// again later: true
}
