package pgtest

import (
	"syscall"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// A test may end the server in each way, and start it again with what it had.
func TestServer(t *testing.T) {
	s := Start(t)
	if err := s.Exec("postgres", "CREATE TABLE kept ()"); err != nil {
		t.Fatal(err)
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
		s.Stop(signal)
		if err := s.Exec("postgres", "SELECT 1"); err == nil {
			t.Errorf("the server answers after %v", signal)
		}
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if err := s.Exec("postgres", "SELECT FROM kept"); err != nil {
			t.Error(err)
		}
	}
}
