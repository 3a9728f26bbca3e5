package deliver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/durable"
)

// A fenced Maildir has its batches in a stage: a folder in tmp, whose name has the account and the
// epoch. A file gets from there into new by the path of the stage. The next Fence takes the stage
// away, so a run that was overtaken finds no file to move, and nothing that it makes gets into new.
//
// The stage of the latest epoch stays behind as a mark. So a run of an earlier one that gets to its
// own Fence late finds out there. It makes its stage first and then looks for others, as all do. Of
// two runs at the same time, at least one sees the stage of the other.
//
// A run may stand still within rename(2), when the kernel has looked up the stage and not yet the
// file. Then taking the stage away is not enough. But its files are removed too. Either the file is
// in new before, where Find sees it, or it is gone. A stage that was removed takes no file any
// more.
//
// On NFS the stage may be looked up in a cache, and that is the same case. What is not covered
// there: the list of new itself may come from a cache. If a run was overtaken while it moved a
// file, the next one may not see that file for as long as directories are cached (mount option
// acdirmax, a minute).

// stage is the folder of an account and an epoch.
type stage struct {
	account string // the digest of its name
	epoch   int64
}

// stagePrefix begins the names of all stages. asideSuffix ends that of one which is taken away.
const stagePrefix, asideSuffix = "popfetch-", ".old"

func newStage(account string, epoch int64) stage {
	sum := sha256.Sum256([]byte(account))
	return stage{fmt.Sprintf("%x", sum[:12]), epoch}
}

// name returns the name of the folder: popfetch-<digest of the account>-<epoch>.
func (s stage) name() string { return stagePrefix + s.account + "-" + strconv.FormatInt(s.epoch, 10) }

// parseStage reads the name of a stage, or of one that is taken away.
func parseStage(name string) (s stage, ok bool) {
	name, isOurs := strings.CutPrefix(strings.TrimSuffix(name, asideSuffix), stagePrefix)
	account, number, _ := strings.Cut(name, "-")
	epoch, err := strconv.ParseInt(number, 10, 64)
	return stage{account, epoch}, isOurs && err == nil
}

// Fence makes the stage of the epoch, and takes away those of earlier ones. Other accounts may
// deliver into the same Maildir, but a Maildir value that is fenced belongs to one account.
func (m *Maildir) Fence(ctx context.Context, account string, epoch int64) error {
	own := newStage(account, epoch)
	if err := m.fence(ctx, own); err != nil {
		return fmt.Errorf("fencing the Maildir %s: %w", m.path, err)
	}
	name := own.name()
	m.stage.Store(&name)
	return nil
}

func (m *Maildir) fence(ctx context.Context, own stage) error {
	err := durable.Uninterrupted(func() error { return unix.Mkdir(m.inTmp(own.name()), 0o700) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = &fs.PathError{Op: "mkdir", Path: m.inTmp(own.name()), Err: err}
		return m.missing(durable.ExplainFull(m.inTmp(""), err))
	}
	names, err := namesIn(m.inTmp(""))
	if err != nil {
		return m.missing(err)
	}
	var earlier []string
	for _, name := range names {
		switch other, ok := parseStage(name); {
		case !ok || other.account != own.account || name == own.name():
		case other.epoch > own.epoch:
			_ = removeFolder(m.inTmp(own.name())) // the run of that epoch does it otherwise
			return ErrOvertaken
		default:
			earlier = append(earlier, name)
		}
	}
	for _, name := range earlier {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := removeStage(m.inTmp(name)); err != nil {
			return err
		}
	}
	return nil
}

func (m *Maildir) inTmp(name string) string { return filepath.Join(m.path, "tmp", name) }

// namesIn returns the names in a folder.
func namesIn(path string) ([]string, error) {
	folder, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer folder.Close() //nolint:errcheck // it was only read
	return folder.Readdirnames(-1)
}

// mostRounds bounds how often a stage is emptied. Files come into one that is taken away only from
// a run that has it open, and does not know yet that it was overtaken.
const mostRounds = 100

// removeStage takes a stage away, removes its files, and then the folder itself. A file that a
// process of this machine has open on NFS gets another name, and stays as long as it is open. Then
// the folder stays, too.
func removeStage(path string) error {
	if removeFolder(path) == nil {
		return nil
	}
	aside := strings.TrimSuffix(path, asideSuffix) + asideSuffix
	if path != aside {
		err := os.Rename(path, aside)
		if errors.Is(err, fs.ErrExist) { // of a run that was killed meanwhile
			if err = removeStage(aside); err == nil {
				err = os.Rename(path, aside)
			}
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // another run does it
			return nil
		case err != nil:
			return err
		}
	}
	for range mostRounds {
		busy, err := clearFolder(aside)
		if err != nil {
			return err
		}
		if busy || removeFolder(aside) == nil {
			return nil
		}
	}
	return fmt.Errorf("%s cannot be emptied: another process fills it", aside)
}

// clearFolder removes the files in a folder. It reports whether some could not be, since a process
// of this machine has them open on NFS.
func clearFolder(path string) (busy bool, err error) {
	names, err := namesIn(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, name := range names {
		switch err := os.Remove(filepath.Join(path, name)); {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, unix.EBUSY):
			busy = true
		default:
			return false, err
		}
	}
	return busy, nil
}

// removeFolder removes an empty folder, if it is there.
func removeFolder(path string) error {
	err := durable.Uninterrupted(func() error { return unix.Rmdir(path) })
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return &fs.PathError{Op: "rmdir", Path: path, Err: err}
}

// folder returns the folder for the files of the batch, by its path.
func (b *maildirBatch) folder() string { return b.maildir.inTmp(b.stage) }

// gone returns what an error of a file or folder of the batch means that may be gone.
func (b *maildirBatch) gone(err error) error {
	if b.stage != "" && isAway(err) {
		if _, tmpErr := os.Lstat(b.maildir.inTmp("")); tmpErr == nil {
			return fmt.Errorf("%w: %w", ErrOvertaken, err)
		}
	}
	return b.maildir.missing(err)
}

// isAway reports whether err says that a file or its folder is not there any more.
func isAway(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESTALE) }

// move moves a file into an open folder. From a stage it does so by the path.
func (b *maildirBatch) move(name string, into *os.File, newName string) error {
	if b.stage == "" {
		return rename(b.tmp, name, into, newName)
	}
	from := filepath.Join(b.folder(), name)
	err := durable.Uninterrupted(func() error {
		return unix.Renameat(unix.AT_FDCWD, from, int(into.Fd()), newName)
	})
	if err != nil {
		to := filepath.Join(into.Name(), newName)
		return b.gone(&os.LinkError{Op: "rename", Old: from, New: to, Err: err})
	}
	return nil
}
