package deliver

import (
	"context"
	"fmt"
)

// Examine reads the mbox once. A message with the octets of a place is the one of that place,
// whatever its From_ line says by now; each counts for one place only.
func (m *Mbox) Examine(ctx context.Context, places []Place) ([]Condition, error) {
	sums := make(map[Sum]int)
	names := make(map[string]bool)
	for _, p := range places {
		sums[p.Sum], names[p.Name] = 0, false
	}
	for p, err := range m.Scan(ctx) {
		if err != nil {
			return nil, fmt.Errorf("reading messages back: %w", err)
		}
		if _, wanted := sums[p.Sum]; wanted {
			sums[p.Sum]++
		}
		if _, wanted := names[p.Name]; wanted {
			names[p.Name] = true
		}
	}
	conditions := make([]Condition, len(places))
	for i, p := range places {
		switch {
		case p.SHA256 != (Sum{}).SHA256 && sums[p.Sum] > 0:
			conditions[i] = Whole
			sums[p.Sum]--
		case names[p.Name]:
			conditions[i] = Altered
		}
	}
	return conditions, nil
}

// Inspect reads the mbox once, and knows a message by its octets, as Examine does.
func (m *Mbox) Inspect(ctx context.Context, list *Checklist) error {
	for p, err := range m.Scan(ctx) {
		if err != nil {
			return fmt.Errorf("reading messages back: %w", err)
		}
		list.count(p.Name, p.Sum)
	}
	list.settle()
	return nil
}
