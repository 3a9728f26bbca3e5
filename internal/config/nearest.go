package config

import (
	"slices"
	"strings"
)

// longestWord is the length of the longest word that is compared. No key or name is longer.
const longestWord = 64

// Nearest returns the known words that may be meant by word. They differ by at most one slip for
// each three letters, and by at most three slips more than the nearest. Upper and lower case count as
// equal. The nearest words come first.
func Nearest(word string, known []string) []string {
	if len(word) > longestWord {
		return nil
	}
	distance := map[string]int{}
	var near []string
	for _, k := range known {
		distance[k] = slips(strings.ToLower(word), strings.ToLower(k))
		if distance[k] <= max(1, len(word)/3) {
			near = append(near, k)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return distance[a] - distance[b] })
	return slices.DeleteFunc(near, func(k string) bool { return distance[k] > distance[near[0]]+3 })
}

// slips returns how many changes turn a into b. A change inserts, removes or replaces a letter, or
// swaps two neighbours (the optimal string alignment distance).
func slips(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(replaced, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
