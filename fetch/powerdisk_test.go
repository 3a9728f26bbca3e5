package fetch_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/popfetch/popfetch/internal/systrace"
)

// disk is a model of a file system in which a program worked until the power failed. What is
// durable by then is there; of all the rest each write, creation, removal and rename is there or
// not, whatever came before or after it, save that a rename is one step, as journalling file
// systems have it.
//
// The rules are POSIX's, which are harsher than those of any file system with a journal: syncing a
// file makes its octets durable and not its name (ext4, XFS and Btrfs would keep that too); syncing
// a folder makes the entries of that folder durable, and nothing of what they stand for; a rename
// is durable when the folder that it leads to was synced. popfetch, and SQLite with
// synchronous=FULL, do with these.
//
// Left out are locks, SQLite's -shm and files without a name, which nothing durable depends on.
type disk struct {
	t    *testing.T
	root *diskNode
	dir  string               // where the root was
	live map[string]*diskNode // by path, what running programs see
	ops  []*diskOp            // in the order in which they began
}

// diskNode is a file or a folder under whatever name.
type diskNode struct {
	folder  bool
	entries map[string]*diskNode // at the beginning
	content []byte               // at the beginning
}

type diskOpKind int

const (
	opEntry diskOpKind = iota // node gets a name
	opRemove
	opRename
	opWrite
	opSize
)

// diskOp is one change.
type diskOp struct {
	kind          diskOpKind
	node          *diskNode
	folder, into  *diskNode // into: of a rename
	name, newName string
	offset        int64
	data          []byte
	size          int64
	grows         bool // opSize: to this size at least
	done, durable bool
}

// isData reports whether the change is one of a file's octets, and not of a name.
func (o *diskOp) isData() bool { return o.kind == opWrite || o.kind == opSize }

// newDisk takes what lies in dir as durable.
func newDisk(t *testing.T, dir string) *disk {
	t.Helper()
	d := &disk{t: t, dir: dir, live: make(map[string]*diskNode)}
	for path, content := range readTree(t, dir) {
		d.live[path] = &diskNode{folder: content == nil, content: content, entries: make(map[string]*diskNode)}
	}
	d.root = d.live["."]
	for path, node := range d.live {
		if node != d.root {
			d.live[filepath.Dir(path)].entries[filepath.Base(path)] = node
		}
	}
	return d
}

// readTree reads what is durable of a rig's folder: by path the octets of files, nil for folders.
func readTree(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	tree := make(map[string][]byte)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path, err = filepath.Rel(dir, path)
		if err != nil || !isModelled(path) {
			return err
		}
		if entry.IsDir() {
			tree[path] = nil
			return nil
		}
		content, err := os.ReadFile(filepath.Join(dir, path))
		tree[path] = append([]byte{}, content...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// isModelled tells which paths of a rig the model knows.
func isModelled(path string) bool {
	top, _, _ := strings.Cut(path, string(filepath.Separator))
	if strings.HasSuffix(path, ".lock") || strings.HasSuffix(path, "-shm") || strings.HasSuffix(path, " (deleted)") {
		return false
	}
	return path == "." || top == "state" || top == "Maildir" || top == "mail"
}

// relative returns a path within the rig's folder, false for one that is not of the model.
func (d *disk) relative(path string) (string, bool) {
	path, err := filepath.Rel(d.dir, path)
	return path, err == nil && isModelled(path)
}

// begin notes what a call is about to change; nil: nothing.
func (d *disk) begin(c *systrace.Call) *diskOp {
	path, known := d.relative(c.Path)
	if !known || c.Result < 0 {
		return nil
	}
	node := d.live[path]
	var op *diskOp
	switch c.Name {
	case "openat", "open":
		switch {
		case node == nil && c.Flags&unix.O_CREAT != 0:
			op = d.named(path, &diskNode{})
		case node != nil && c.Flags&unix.O_TRUNC != 0:
			op = &diskOp{kind: opSize, node: node}
		}
	case "mkdirat", "mkdir":
		op = d.named(path, &diskNode{folder: true})
	case "unlinkat", "unlink", "rmdir":
		op = &diskOp{kind: opRemove, node: node, folder: d.live[filepath.Dir(path)], name: filepath.Base(path)}
		delete(d.live, path)
	case "rename", "renameat", "renameat2":
		to, _ := d.relative(c.To)
		op = &diskOp{kind: opRename, node: node, folder: d.live[filepath.Dir(path)], name: filepath.Base(path),
			into: d.live[filepath.Dir(to)], newName: filepath.Base(to)}
		d.live[to] = node
		delete(d.live, path)
	case "write", "pwrite64":
		op = &diskOp{kind: opWrite, node: node, offset: c.Offset, data: c.Data[:c.Result]}
	case "ftruncate":
		op = &diskOp{kind: opSize, node: node, size: c.Size}
	case "fallocate":
		op = &diskOp{kind: opSize, node: node, size: c.Size, grows: true}
	case "close", "flock", "fsync", "fdatasync", "syncfs", "fchmod", "chmod":
	default:
		d.t.Fatalf("the model does not know what %s does to %s", c.Name, path)
	}
	if op != nil {
		if op.node == nil {
			d.t.Fatalf("%s of %s, which the model does not know", c.Name, path)
		}
		d.ops = append(d.ops, op)
	}
	return op
}

func (d *disk) named(path string, node *diskNode) *diskOp {
	d.live[path] = node
	return &diskOp{kind: opEntry, node: node, folder: d.live[filepath.Dir(path)], name: filepath.Base(path)}
}

// covered returns what a sync that begins now makes durable.
func (d *disk) covered(c *systrace.Call) []*diskOp {
	path, known := d.relative(c.Path)
	if !known {
		return nil
	}
	node := d.live[path]
	return slices.DeleteFunc(slices.Clone(d.ops), func(o *diskOp) bool {
		switch {
		case !o.done:
			return true
		case c.Name == "syncfs":
			return false
		case o.isData():
			return o.node != node
		case o.kind == opRename:
			return o.into != node
		default:
			return o.folder != node
		}
	})
}

// pending returns what is not durable.
func (d *disk) pending() []*diskOp {
	return slices.DeleteFunc(slices.Clone(d.ops), func(o *diskOp) bool { return o.durable })
}

// fate is what became of a change that was not durable.
type fate int

const (
	absent fate = iota
	present
	halved // of a write, the first half
	zeroed // of a write, the place and no octets
)

// after returns what the disk holds when each change that is not durable has had its fate: by path
// the octets of files, nil for folders.
func (d *disk) after(fates map[*diskOp]fate) map[string][]byte {
	entries := make(map[*diskNode]map[string]*diskNode)
	of := func(folder *diskNode) map[string]*diskNode {
		if entries[folder] == nil {
			entries[folder] = make(map[string]*diskNode)
			for name, node := range folder.entries {
				entries[folder][name] = node
			}
		}
		return entries[folder]
	}
	contents := make(map[*diskNode][]byte)
	for _, o := range d.ops {
		how := fates[o]
		if o.durable {
			how = present
		}
		if how == absent {
			continue
		}
		if o.isData() {
			content, changed := contents[o.node]
			if !changed {
				content = slices.Clone(o.node.content)
			}
			contents[o.node] = o.apply(content, how)
			continue
		}
		if o.kind != opEntry && of(o.folder)[o.name] == o.node {
			delete(of(o.folder), o.name)
		}
		switch o.kind {
		case opEntry:
			of(o.folder)[o.name] = o.node
		case opRename:
			of(o.into)[o.newName] = o.node
		}
	}
	tree := make(map[string][]byte)
	var collect func(path string, node *diskNode)
	collect = func(path string, node *diskNode) {
		if !node.folder {
			content, changed := contents[node]
			if !changed {
				content = node.content
			}
			tree[path] = append([]byte{}, content...)
			return
		}
		tree[path] = nil
		for name, child := range of(node) {
			collect(filepath.Join(path, name), child)
		}
	}
	collect(".", d.root)
	return tree
}

// apply changes the octets of a file.
func (o *diskOp) apply(content []byte, how fate) []byte {
	if o.kind == opSize {
		if missing := int(o.size) - len(content); missing > 0 {
			return append(content, make([]byte, missing)...)
		} else if o.grows {
			return content
		}
		return content[:o.size]
	}
	data := o.data
	switch how {
	case halved:
		data = data[:len(data)/2]
	case zeroed:
		data = make([]byte, len(data))
	}
	if missing := int(o.offset) + len(data) - len(content); missing > 0 {
		content = append(content, make([]byte, missing)...)
	}
	copy(content[o.offset:], data)
	return content
}

// all gives every change the same fate.
func (d *disk) all(f fate) map[*diskOp]fate {
	fates := make(map[*diskOp]fate)
	for _, o := range d.pending() {
		fates[o] = f
	}
	return fates
}

// writeTree lays out a disk in an empty folder.
func writeTree(t *testing.T, dir string, tree map[string][]byte) {
	t.Helper()
	paths := make([]string, 0, len(tree))
	for path := range tree {
		paths = append(paths, path)
	}
	slices.Sort(paths) // folders before what they hold
	for _, path := range paths {
		var err error
		if content := tree[path]; content != nil {
			err = os.WriteFile(filepath.Join(dir, path), content, 0o600)
		} else {
			err = os.MkdirAll(filepath.Join(dir, path), 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
