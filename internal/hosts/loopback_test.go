package hosts

import "testing"

// Only a name that means this machine everywhere counts.
func TestIsLoopback(t *testing.T) {
	for server, want := range map[string]bool{
		"localhost:110": true, "127.0.0.1:110": true, "127.8.8.8:110": true, "[::1]:110": true,
		"pop.example.org:110": false, "localhost.example.org:110": false, "192.0.2.1:110": false, "127.0.0.1": false, "": false,
	} {
		if got := IsLoopback(server); got != want {
			t.Errorf("IsLoopback(%q) = %t, want %t", server, got, want)
		}
	}
}
