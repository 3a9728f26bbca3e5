//go:build go1.26

// The go line of go.mod names the oldest Go that builds popfetch. It would also choose that version's
// defaults for the program: SHA-1 signatures accepted by TLS, a container's limit of processors ignored.
//
//go:debug default=go1.26

package main
