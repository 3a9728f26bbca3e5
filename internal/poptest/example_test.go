package poptest_test

import (
	"net/textproto"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/poptest"
)

// A dialogue is for tests of one session, where each octet counts.
func ExampleDialogue() {
	var t *testing.T // the test's own

	server := poptest.Dialogue(t, `
		S: +OK POP3 ready
		C: USER mrose
		S: +OK
		C~ PASS .+
		S: -ERR [AUTH] no
		C: QUIT
		cut

		-- connection
		S: -ERR [SYS/TEMP] busy`)

	client, err := textproto.Dial("tcp", poptest.InClear(server.Addr(), true))
	if err != nil {
		t.Fatal(err)
	}
	_ = client // ... the test goes here
	server.Wait()
}

// The model server is for tests of several sessions. Here the second session loses its connection
// in the middle.
func ExampleNewServer() {
	var t *testing.T // the test's own

	server := poptest.NewServer(t, poptest.Maildrop{
		User: "mrose", Password: "tanstaaf", Messages: poptest.Numbered(100, 4096),
	})
	far := poptest.Delay(t, server.Addr(), 25*time.Millisecond)

	_ = far // first session: connect here
	server.Drop("mrose").Add(poptest.Message{UniqueID: "new", Content: []byte("Subject: new\r\n\r\n")})
	server.CutAfter(100000)
	// ... second session

	server.Wait()
	server.CheckRules(t)
	if got := server.RetrievedIDs()["id-1"]; got != 1 {
		t.Errorf("id-1 was retrieved %d times, want once", got)
	}
}
