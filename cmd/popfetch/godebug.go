//go:build go1.26

// The go line of go.mod names the oldest Go that builds popfetch. Without the line below, it would
// also choose that version's defaults for the program. TLS would accept SHA-1 signatures, and a
// container's limit of processors would be ignored.
//
//go:debug default=go1.26

package main
