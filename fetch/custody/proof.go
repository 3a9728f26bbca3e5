package custody

import (
	"context"
	"fmt"

	"github.com/popfetch/popfetch/deliver"
	"github.com/popfetch/popfetch/seen"
)

// Proof is what reading a message back has shown.
type Proof int

// A message with several places is Proved only if it lies at each of them as it was delivered.
const (
	Unprovable Proof = iota // one of its places cannot be read back, or it has none
	Changed                 // it is gone from a place, or altered there
	Proved
)

// Prove reads back the messages of records, at every place.
func Prove(ctx context.Context, target deliver.Target, records []*seen.Record) ([]Proof, error) {
	parts := deliver.Parts(target)
	proofs := make([]Proof, len(records))
	places := make(map[string][]deliver.Place) // by the target's name
	owners := make(map[string][]int)           // of these, as indexes of records
	for i, r := range records {
		if !isProvable(parts, r) {
			continue
		}
		proofs[i] = Proved
		for _, p := range r.Places {
			places[p.Target] = append(places[p.Target], deliver.Place{Target: p.Target, Name: p.Name, Sum: deliver.Sum(p.Sum)})
			owners[p.Target] = append(owners[p.Target], i)
		}
	}
	for name, all := range places {
		conditions, err := parts[name].(deliver.Keeper).Examine(ctx, all)
		if err != nil {
			return nil, fmt.Errorf("reading messages back before they are deleted on the server: %w", err)
		}
		for n, c := range conditions {
			if c != deliver.Whole {
				proofs[owners[name][n]] = Changed
			}
		}
	}
	return proofs, nil
}

// isProvable reports whether all places of a message can be read back.
func isProvable(parts map[string]deliver.Target, r *seen.Record) bool {
	for _, p := range r.Places {
		if _, ok := parts[p.Target].(deliver.Keeper); !ok || p.Name == "" || p.SHA256 == [32]byte{} {
			return false
		}
	}
	return len(r.Places) > 0
}
