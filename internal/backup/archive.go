// Package backup writes and reads backups: one file that says first what is in it,
// each with its checksum, so that damage is found before anything is restored.
//
// A backup is a tar in zstd. Its first member is manifest.json; the others
// follow in the order in which that lists them.
package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/zstd"
)

// Format numbers how a backup is laid out. A release reads the formats up to its
// own, and writes this one.
const Format = 1

// What a reader takes, so that a file that is no backup can't use up the memory.
const (
	maxManifest = 64 << 20 // bytes, of several hundred thousand files
	maxWindow   = 64 << 20 // bytes, of zstd
)

// ErrNewer is the error for a backup that a newer release has made.
var ErrNewer = errors.New("made by a newer release")

const manifestName = "manifest.json"

// A Manifest says what a backup is of.
type Manifest struct {
	Format     int       `json:"format"`
	DataFormat int       `json:"data_format"` // of the data folder
	Program    string    `json:"program"`     // and its version
	Site       string    `json:"site"`
	SiteFile   string    `json:"site_file"` // its name in the backup
	Made       time.Time `json:"made"`      // what was acknowledged before is in it
	InfluxDB   bool      `json:"influxdb"`  // what InfluxDB stored is in it too
	LeftOut    []string  `json:"left_out,omitempty"`
	Files      []File    `json:"files"`
}

// A File is one of a backup.
type File struct {
	Name   string `json:"name"` // below the folder data or site
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// A Member is a file that goes into a backup.
type Member struct {
	Name  string // in the backup: "data/spool/cursor"
	Path  string // where it is
	Bytes int64  // so many from its beginning; negative: all
}

// Write writes members into a backup called file, which has that name only when
// it is whole and on disk, and replaces one that was there. It fills in the
// manifest's Format and Files and returns it. The members must not change within
// their Bytes meanwhile; one that does is an error.
func Write(ctx context.Context, file string, m Manifest, members []Member) (Manifest, error) {
	m.Format = Format
	for _, member := range members {
		f, err := describe(ctx, member)
		if err != nil {
			return m, err
		}
		m.Files = append(m.Files, f)
	}
	head, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return m, err
	}
	// It may hold secrets, so only its owner reads it.
	out, err := renameio.NewPendingFile(file, renameio.WithPermissions(0o600))
	if err != nil {
		return m, fmt.Errorf("write backup: %w", err)
	}
	defer out.Cleanup() //nolint:errcheck // removes what is not whole
	err = write(ctx, out, head, m, members)
	if err == nil {
		err = out.CloseAtomicallyReplace()
	}
	if err != nil {
		return m, fmt.Errorf("write backup %s: %w", file, err)
	}
	return m, nil
}

func write(ctx context.Context, out io.Writer, head []byte, m Manifest, members []Member) error {
	z, err := zstd.NewWriter(out, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	add := func(name string, size int64, content io.Reader) error {
		h := &tar.Header{Name: name, Size: size, Mode: 0o640, ModTime: m.Made, Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(w, content)
		return err
	}
	if err := add(manifestName, int64(len(head)), strings.NewReader(string(head))); err != nil {
		return errors.Join(err, z.Close())
	}
	for i, member := range members {
		err := readMember(ctx, member, func(content io.Reader, size int64) error {
			sum := sha256.New()
			if size != m.Files[i].Bytes {
				return errors.New("changed while it was copied")
			}
			if err := add(member.Name, size, io.TeeReader(content, sum)); err != nil {
				return err
			}
			if hexSum(sum) != m.Files[i].SHA256 {
				return errors.New("changed while it was copied")
			}
			return nil
		})
		if err != nil {
			return errors.Join(err, z.Close())
		}
	}
	return errors.Join(w.Close(), z.Close())
}

func describe(ctx context.Context, m Member) (File, error) {
	f := File{Name: m.Name}
	err := readMember(ctx, m, func(content io.Reader, size int64) error {
		sum := sha256.New()
		n, err := io.Copy(sum, content)
		if err == nil && n != size {
			err = fmt.Errorf("has %d bytes of %d", n, size)
		}
		f.Bytes, f.SHA256 = size, hexSum(sum)
		return err
	})
	return f, err
}

// readMember calls use with the content of m and its size.
func readMember(ctx context.Context, m Member, use func(content io.Reader, size int64) error) error {
	f, err := os.Open(m.Path)
	if err != nil {
		return fmt.Errorf("back up %s: %w", m.Name, err)
	}
	defer f.Close()
	size := m.Bytes
	if size < 0 {
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("back up %s: %w", m.Name, err)
		}
		size = info.Size()
	}
	if err := use(io.LimitReader(untilDone{ctx, f}, size), size); err != nil {
		return fmt.Errorf("back up %s: %w", m.Name, err)
	}
	return nil
}

// untilDone reads until its context is done.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// Verify reads a backup to its end and returns what is in it. Its error says which
// file is damaged; one that is [ErrNewer] that this release can't read it.
func Verify(file string) (Manifest, error) {
	return open(file, func(File, io.Reader) error { return nil })
}

// Extract writes the files of a backup below one of its folders, data or site, to
// below dir, which must be there, and returns their names, which start with no
// folder. Existing files are not replaced, but an error. Whatever the backup says,
// nothing is written outside dir.
func Extract(file, folder, dir string) (names []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	defer root.Close()
	_, err = open(file, func(f File, content io.Reader) error {
		name, ok := strings.CutPrefix(f.Name, folder+"/")
		if !ok {
			return nil
		}
		if err := root.MkdirAll(path.Dir(name), 0o750); err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
		if err != nil {
			return fmt.Errorf("restore: %w", err)
		}
		_, err = io.Copy(out, content)
		names = append(names, name)
		return errors.Join(err, out.Sync(), out.Close())
	})
	return names, err
}

func open(file string, visit func(File, io.Reader) error) (Manifest, error) {
	f, err := os.Open(file)
	if err != nil {
		return Manifest{}, fmt.Errorf("read backup: %w", err)
	}
	defer f.Close()
	m, err := read(f, visit)
	if err != nil {
		return m, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

// read calls visit with each file of a backup, and fails unless all of them are
// there and as the manifest says. What visit leaves of a file is read for it.
func read(in io.Reader, visit func(File, io.Reader) error) (Manifest, error) {
	z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return Manifest{}, fmt.Errorf("is no backup: %w", err)
	}
	defer z.Close()
	r := tar.NewReader(z)
	m, err := readManifest(r)
	if err != nil {
		return m, err
	}
	for _, f := range m.Files {
		h, err := r.Next()
		switch {
		case err != nil:
			return m, fmt.Errorf("is damaged before %q: %w", f.Name, noEnd(err))
		case h.Name != f.Name || h.Typeflag != tar.TypeReg || h.Size != f.Bytes:
			return m, fmt.Errorf("is damaged: got %q of %d bytes, want %q of %d", h.Name, h.Size, f.Name, f.Bytes)
		}
		sum := sha256.New()
		content := &damageReader{r: io.TeeReader(r, sum)}
		err = visit(f, content)
		if err == nil {
			_, err = io.Copy(io.Discard, content)
		}
		switch {
		case content.err != nil:
			return m, fmt.Errorf("is damaged in %q: %w", f.Name, noEnd(content.err))
		case err != nil:
			return m, err
		case hexSum(sum) != f.SHA256:
			return m, fmt.Errorf("is damaged in %q: the checksum is another", f.Name)
		}
	}
	if h, err := r.Next(); err == nil {
		return m, fmt.Errorf("is damaged: %q is not in its manifest", h.Name)
	} else if !errors.Is(err, io.EOF) {
		return m, fmt.Errorf("is damaged at its end: %w", err)
	}
	if _, err := io.Copy(io.Discard, z); err != nil { // the checksum of zstd
		return m, fmt.Errorf("is damaged at its end: %w", err)
	}
	return m, nil
}

func readManifest(r *tar.Reader) (m Manifest, err error) {
	h, err := r.Next()
	if err != nil {
		return m, fmt.Errorf("is no backup, or cut off: %w", noEnd(err))
	}
	if h.Name != manifestName || h.Typeflag != tar.TypeReg || h.Size > maxManifest {
		return m, fmt.Errorf("is no backup: it starts with %q, and a backup with %s", h.Name, manifestName)
	}
	data, err := io.ReadAll(r)
	if err == nil {
		// The format first: what is later may have no sense for us.
		err = json.Unmarshal(data, &struct {
			Format *int `json:"format"`
		}{&m.Format})
	}
	if err == nil && m.Format > Format {
		return m, fmt.Errorf("is %w: its format is %d, and this release reads those up to %d", ErrNewer, m.Format, Format)
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return m, fmt.Errorf("is damaged in %q: %w", manifestName, noEnd(err))
	}
	if m.Format < 1 {
		return m, fmt.Errorf("is damaged in %q: format %d", manifestName, m.Format)
	}
	seen := make(map[string]bool)
	for _, f := range m.Files {
		folder, rest, _ := strings.Cut(f.Name, "/")
		if !fs.ValidPath(f.Name) || rest == "" || folder != "data" && folder != "site" || strings.ContainsRune(f.Name, '\\') {
			return m, fmt.Errorf("is damaged in %q: no file of a backup is called %q", manifestName, f.Name)
		}
		if seen[f.Name] {
			return m, fmt.Errorf("is damaged in %q: %q is there twice", manifestName, f.Name)
		}
		seen[f.Name] = true
	}
	return m, nil
}

// noEnd returns err as it looks to whom the end comes too early.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// damageReader remembers what went wrong in what it reads.
type damageReader struct {
	r   io.Reader
	err error
}

func (d *damageReader) Read(b []byte) (int, error) {
	n, err := d.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		d.err = err
	}
	return n, err
}
