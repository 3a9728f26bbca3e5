package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/popfetch/popfetch/internal/pgtest"
	"github.com/popfetch/popfetch/seen"
)

// open opens a store for a test that expects an error.
func open(t testing.TB, o Options) error {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err == nil {
		_ = s.Close()
	}
	return err
}

// changed returns a URL after change.
func changed(t testing.TB, database string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	change(u)
	return u.String()
}

func databaseOf(t testing.TB, database string) string {
	t.Helper()
	return strings.TrimPrefix(changed(t, database, func(u *url.URL) { u.Scheme, u.Host, u.User, u.RawQuery = "", "", nil, "" }), "/")
}

var roles atomic.Int64

// newRole makes a role that may only log in, and returns the URL of the database for it.
func newRole(t testing.TB, database string) (role, theirs string) {
	t.Helper()
	role = fmt.Sprintf("limited%d", roles.Add(1))
	if err := pgtest.Shared(t).Exec("postgres", "CREATE ROLE "+role+" LOGIN PASSWORD '"+pgtest.Password+"'"); err != nil {
		t.Fatal(err)
	}
	return role, changed(t, database, func(u *url.URL) { u.User = url.UserPassword(role, pgtest.Password) })
}

// Many processes that start at once make the tables once.
func TestOpen_together(t *testing.T) {
	database := pgtest.Database(t)
	if s, err := OpenExisting(t.Context(), Options{URL: database}); !errors.Is(err, seen.ErrCreate) {
		t.Fatalf("OpenExisting() of an empty database = %v, %v, want ErrCreate", s, err)
	}
	errs := make(chan error)
	const processes = 6
	for range processes {
		go func() { errs <- open(t, Options{URL: database}) }()
	}
	for range processes {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	s, err := OpenExisting(t.Context(), Options{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
}

// A database of a later version is left as it is.
func TestOpen_newer(t *testing.T) {
	database := pgtest.Database(t)
	if err := open(t, Options{URL: database}); err != nil {
		t.Fatal(err)
	}
	if err := pgtest.Shared(t).Exec(databaseOf(t, database), "UPDATE popfetch.version SET version = version + 1", "DROP TABLE popfetch.deletion"); err != nil {
		t.Fatal(err)
	}
	if err := open(t, Options{URL: database}); !errors.Is(err, seen.ErrNewerSchema) {
		t.Errorf("Open() = %v, want ErrNewerSchema", err)
	}
	if _, err := OpenExisting(t.Context(), Options{URL: database}); !errors.Is(err, seen.ErrNewerSchema) {
		t.Errorf("OpenExisting() = %v, want ErrNewerSchema", err)
	}
	if err := pgtest.Shared(t).Exec(databaseOf(t, database), "SELECT FROM popfetch.deletion"); err == nil {
		t.Error("Open() has made a table")
	}
}

// A store that is open goes on when a later version has added to the tables.
func TestOpen_newerBeside(t *testing.T) {
	database := pgtest.Database(t)
	s := openAs(t, database, "old", time.Minute)
	schedule(t, s, Scheduled{Account: "work"})
	for _, change := range []string{
		"UPDATE popfetch.version SET version = version + 1",
		"ALTER TABLE popfetch.account ADD COLUMN later text NOT NULL DEFAULT ''",
		"ALTER TABLE popfetch.seen ADD COLUMN later text NOT NULL DEFAULT ''",
		"ALTER TABLE popfetch.turn ADD COLUMN later text NOT NULL DEFAULT ''",
		"CREATE TABLE popfetch.later (account bigint)",
	} {
		sql(t, s, change)
	}
	if err := open(t, Options{URL: database}); !errors.Is(err, seen.ErrNewerSchema) {
		t.Fatalf("Open() = %v, want ErrNewerSchema", err)
	}
	turns, _ := claim(t, s, Claiming{Free: 1})
	if len(turns) != 1 {
		t.Fatalf("Claim() = %v, want the account", turns)
	}
	l := enterIn(t, s, "work")
	records := slices.Values(recordsOf(listingOf("a", 3), "new/1"))
	if err := l.Apply(t.Context(), seen.Changes{Records: records}); err != nil {
		t.Error(err)
	}
	if h := (&heart{store: s, ctx: t.Context()}); !h.renewAll() {
		t.Error("leases are not renewed")
	} else {
		h.disconnect()
	}
	if err := turns[0].End(t.Context(), Next{In: time.Hour}); err != nil {
		t.Error(err)
	}
	if n := len(allOf(t, s, "work")); n != 3 {
		t.Errorf("%d records are there, want 3", n)
	}
}

// A role that may not make tables is told what another role has to run. Then it can do everything.
func TestOpen_role(t *testing.T) {
	server := pgtest.Shared(t)
	database := pgtest.Database(t)
	_, theirs := newRole(t, database)
	err := open(t, Options{URL: theirs})
	_, script, told := strings.Cut(fmt.Sprint(err), "\nBEGIN;\n")
	if !errors.Is(err, seen.ErrCreate) || !told {
		t.Fatalf("Open() = %v, want ErrCreate and SQL", err)
	}
	if err := server.Exec(databaseOf(t, database), "BEGIN;\n"+script); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, theirs)
	if _, err := s.pool.Exec(t.Context(), "CREATE TABLE popfetch.other ()"); !isCode(err, insufficientPrivilege) {
		t.Fatalf("the role may make tables: %v", err)
	}
	for _, write := range writes {
		l := prepare(t, s, write.name)
		if err := write.do(t.Context(), s, l, write.name); err != nil {
			t.Errorf("%s: %v", write.name, err)
		}
	}
	if err := s.NoteNext(t.Context(), "another", now); err != nil {
		t.Error(err)
	}

	// Another role is told that only rights are missing.
	role, third := newRole(t, database)
	for _, preparation := range []string{"SELECT", "GRANT USAGE ON SCHEMA popfetch TO " + role, "GRANT SELECT ON ALL TABLES IN SCHEMA popfetch TO " + role} {
		if err := server.Exec(databaseOf(t, database), preparation); err != nil {
			t.Fatal(err)
		}
		err = open(t, Options{URL: third})
		if !errors.Is(err, ErrRefused) || errors.Is(err, seen.ErrCreate) {
			t.Fatalf("Open() after %q = %v, want ErrRefused", preparation, err)
		}
	}
	_, script, _ = strings.Cut(err.Error(), "\n")
	if err := server.Exec(databaseOf(t, database), script); err != nil {
		t.Fatal(err)
	}
	if err := open(t, Options{URL: third}); err != nil {
		t.Error(err)
	}
}

// A role that owns an empty schema makes the tables in it, though it may make no schema.
func TestOpen_schema(t *testing.T) {
	database := pgtest.Database(t)
	role, theirs := newRole(t, database)
	if err := pgtest.Shared(t).Exec(databaseOf(t, database), "CREATE SCHEMA popfetch AUTHORIZATION "+role); err != nil {
		t.Fatal(err)
	}
	if err := open(t, Options{URL: theirs}); err != nil {
		t.Error(err)
	}
}

// What is wrong is told, and never shows a password.
func TestOpen_wrong(t *testing.T) {
	database := pgtest.Database(t)
	const secret = "s3cret"
	port := changed(t, database, func(u *url.URL) { u.User, u.Path, u.RawQuery, u.Scheme = nil, "", "", "" })
	port = port[strings.LastIndex(port, ":"):]
	for _, test := range []struct {
		url  string
		want error
	}{
		{"postgres://popfetch:" + secret + "@127.0.0.1" + port + "/test1?sslmode=disable", ErrRefused},
		{changed(t, database, func(u *url.URL) { u.Path = "/none" }), ErrRefused},
		{"postgres://popfetch:" + secret + "@127.0.0.1:1/test1?sslmode=disable", ErrAway},
		{"postgres://popfetch:" + secret + "@/test1?host=/nonexistent", ErrAway},
		{"mysql://popfetch:" + secret + "@127.0.0.1/test1", ErrURL},
		{"host=127.0.0.1 password=" + secret, ErrURL},
		{"postgres://popfetch:" + secret + "/x@127.0.0.1/test1", ErrURL},
		{"postgres://popfetch:" + secret + "%zz@127.0.0.1/test1", ErrURL},
		{"postgres://popfetch:" + secret + "@127.0.0.1:port/test1", ErrURL},
		{"postgres://popfetch:" + secret + "@127.0.0.1/test1?sslmode=bogus", ErrURL},
		{"postgres://popfetch@127.0.0.1/test1?sslmode=bogus&password=" + secret, ErrURL},
		{"postgres://popfetch:" + secret + "@127.0.0.1/`: test1?sslmode=bogus", ErrURL},
		{"postgres://popfetch:" + secret + "@127.0.0.1/test1?sslmode=verify-full&sslrootcert=/nonexistent", ErrURL},
		{"postgres://popfetch:" + secret + "@127.0.0.1/test1?pool_max_conns=" + secret, ErrURL},
		{"postgres://popfetch:" + secret + "@db.example.org/test1", ErrInsecure},
		{"postgres://popfetch:" + secret + "@192.0.2.1/test1?sslmode=disable", ErrInsecure},
		{"postgres://popfetch:" + secret + "@192.0.2.1/test1?sslmode=require", ErrInsecure},
		{"postgres://popfetch:" + secret + "@192.0.2.1/test1?sslmode=prefer", ErrInsecure},
		{"postgres://popfetch:" + secret + "@127.0.0.1,192.0.2.1/test1?sslmode=disable", ErrInsecure},
	} {
		err := open(t, Options{URL: test.url})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.url, err, test.want)
		}
		if text := fmt.Sprint(err); strings.Contains(text, secret) || strings.Contains(text, pgtest.Password) {
			t.Errorf("%s: the error shows the password: %v", test.url, err)
		}
	}
	// The name of another machine is fine if it has to prove who it is.
	for _, remote := range []string{"postgres://db.example.org/test1?sslmode=verify-full", "postgres://db.example.org/test1?sslrootcert=system"} {
		if _, err := configuration(Options{URL: remote}); err != nil {
			t.Errorf("%s: %v", remote, err)
		}
	}
}

// The password comes from a function, or from PGPASSFILE.
func TestOpen_password(t *testing.T) {
	database := pgtest.Database(t)
	without := changed(t, database, func(u *url.URL) { u.User = url.User("popfetch") })
	if err := open(t, Options{URL: without}); !errors.Is(err, ErrRefused) {
		t.Errorf("Open() without a password = %v, want ErrRefused", err)
	}
	asked := 0
	err := open(t, Options{URL: without, Password: func(context.Context) (string, error) {
		asked++
		return pgtest.Password, nil
	}})
	if err != nil || asked == 0 {
		t.Errorf("Open() = %v, and the function was called %d times", err, asked)
	}
	failed := errors.New("the command has failed")
	if err := open(t, Options{URL: without, Password: func(context.Context) (string, error) { return "", failed }}); !errors.Is(err, failed) {
		t.Errorf("Open() = %v, want the error of the function", err)
	}
	file := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(file, []byte("127.0.0.1:*:*:popfetch:"+pgtest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGPASSFILE", file)
	if err := open(t, Options{URL: without}); err != nil {
		t.Errorf("Open() by PGPASSFILE = %v", err)
	}
}

// With verify-full the server proves that it is the one in the URL.
func TestOpen_tls(t *testing.T) {
	server := pgtest.Start(t)
	authority := server.TLS(t)
	database := server.Database(t)
	of := func(host, query string) string {
		return changed(t, database, func(u *url.URL) { u.Host, u.RawQuery = host+":"+u.Port(), query })
	}
	full := "sslmode=verify-full&sslrootcert=" + authority
	s := openStore(t, of("127.0.0.1", full))
	var encrypted bool
	if err := s.pool.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted); err != nil || !encrypted {
		t.Errorf("the connection is encrypted: %v, %v", encrypted, err)
	}
	if err := open(t, Options{URL: of("localhost", full)}); !errors.Is(err, ErrRefused) {
		t.Errorf("Open() under another name = %v, want ErrRefused", err)
	}
	if err := open(t, Options{URL: of("127.0.0.1", "sslmode=verify-full")}); !errors.Is(err, ErrRefused) {
		t.Errorf("Open() without the authority = %v, want ErrRefused", err)
	}
	// A wrong password is told as such, also over TLS.
	wrong := changed(t, of("127.0.0.1", full), func(u *url.URL) { u.User = url.UserPassword("popfetch", "wrong") })
	if err := open(t, Options{URL: wrong}); !errors.Is(err, ErrRefused) {
		t.Errorf("Open() with a wrong password = %v, want ErrRefused", err)
	}
}

// Behind PgBouncer a wrong password is told, too, and a server that is away.
func TestOpen_bouncer(t *testing.T) {
	server := pgtest.Start(t)
	database := pgtest.StartBouncer(t, server).Database(t)
	if err := open(t, Options{URL: database}); err != nil {
		t.Fatal(err)
	}
	wrong := changed(t, database, func(u *url.URL) { u.User = url.UserPassword("popfetch", "wrong") })
	if err := open(t, Options{URL: wrong}); !errors.Is(err, ErrRefused) {
		t.Errorf("Open() with a wrong password = %v, want ErrRefused", err)
	}
	none := changed(t, database, func(u *url.URL) { u.Path = "/none" })
	if err := open(t, Options{URL: none}); !errors.Is(err, ErrRefused) {
		t.Errorf("Open() of no database = %v, want ErrRefused", err)
	}
	server.Stop(syscall.SIGINT)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // PgBouncer waits for it
	defer cancel()
	if _, err := Open(ctx, Options{URL: database}); !errors.Is(err, ErrAway) {
		t.Errorf("Open() while the server is away = %v, want ErrAway", err)
	}
}
