package foreign

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Limits of what is read. Files beyond them are not what they seem to be.
const (
	maxConfig = 1 << 20 // octets of a configuration file
	maxState  = 1 << 30 // octets of a state file
	maxLine   = 1 << 16 // octets of a line of a state file
)

// readConfig returns the text of a configuration file. A missing file is an *Error, too.
func readConfig(path string) (string, error) {
	f, err := openFile(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(data) > maxConfig {
		err = errors.New("is too large for a configuration file")
	}
	if err == nil && bytes.IndexByte(data, 0) >= 0 {
		err = errors.New("holds a NUL character; it is no configuration file")
	}
	if err != nil {
		return "", &Error{File: path, Err: err}
	}
	return string(data), nil
}

// openFile opens a regular file, so that nothing waits for a named pipe.
func openFile(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is no regular file")
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path)
	}
	if err != nil {
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err // Error names the file already
		}
		return nil, &Error{File: path, Err: err}
	}
	return f, nil
}

// eachLine calls each with the lines of a state file and their numbers. An error of each becomes an
// *Error with the line.
func eachLine(path string, each func(line int, text string) error) error {
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxState))
	lines.Buffer(make([]byte, 4096), maxLine)
	n := 0
	for lines.Scan() {
		n++
		if err := each(n, lines.Text()); err != nil {
			return &Error{path, n, err}
		}
	}
	if err := lines.Err(); err != nil {
		return &Error{path, n + 1, fmt.Errorf("reading: %w", err)}
	}
	return nil
}

// exists reports whether a path is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// firstExisting returns the first of paths that is there, or "".
func firstExisting(paths ...string) string {
	for _, path := range paths {
		if exists(path) {
			return path
		}
	}
	return ""
}

// getenv returns an environment variable.
func (env Env) getenv(name string) string {
	if env.Getenv == nil {
		return ""
	}
	return env.Getenv(name)
}

// system returns the place of a file of the system.
func (env Env) system(path string) string { return filepath.Join(env.Root, path) }

// configHome returns the folder for configuration files.
func (env Env) configHome() string {
	if dir := env.getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(env.Home, ".config")
}

// user returns the name of the local user, or "".
func (env Env) user() string {
	for _, name := range []string{"FETCHMAILUSER", "LOGNAME", "USER"} {
		if user := env.getenv(name); user != "" {
			return user
		}
	}
	return ""
}

// expand returns a path with ~ expanded, and made absolute by a folder.
func (env Env) expand(path, folder string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		return filepath.Join(env.Home, path[1:])
	}
	if !filepath.IsAbs(path) {
		return filepath.Join(folder, path)
	}
	return filepath.Clean(path)
}

// short returns an absolute path with ~ for the home folder, as a person would write it.
func (env Env) short(path string) string {
	if rest, found := strings.CutPrefix(path, env.Home+"/"); found && env.Home != "/" {
		return "~/" + rest
	}
	return path
}

// noState notes that a state file is missing.
func (d *draft) noState(path, why string) {
	d.note(0, "seen messages", why+": there is no "+path,
		`initial = "none" leaves out what is on the server at the first run`)
}
