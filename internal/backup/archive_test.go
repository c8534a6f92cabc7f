package backup

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// files makes files with contents and returns them as members.
func files(t testing.TB, contents map[string]string) []Member {
	t.Helper()
	dir := t.TempDir()
	var members []Member
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(path, []byte(contents[name]), 0o600); err != nil {
			t.Fatal(err)
		}
		members = append(members, Member{Name: name, Path: path, Bytes: -1})
	}
	return members
}

func TestWriteThenExtract(t *testing.T) {
	members := files(t, map[string]string{"data/spool/cursor": "cursor", "data/format": "1\n", "site/site.yaml": "site: x\n", "data/empty": ""})
	members = append(members, Member{Name: "data/spool/grows.log", Path: members[1].Path, Bytes: 1}) // of data/format
	file := filepath.Join(t.TempDir(), "b.tar.zst")
	wrote, err := Write(t.Context(), file, Manifest{Program: "tofuwatch v1", Site: "semarang", SiteFile: "site.yaml", Made: time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)}, members)
	if err != nil {
		t.Fatal(err)
	}
	read, err := Verify(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(read, wrote); diff != "" {
		t.Errorf("manifest (-got +want):\n%s", diff)
	}
	dir := t.TempDir()
	if _, err := Extract(file, "data", dir); err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		name, ok := strings.CutPrefix(m.Name, "data/")
		if !ok {
			continue
		}
		want, err := os.ReadFile(m.Path)
		if err != nil {
			t.Fatal(err)
		}
		if m.Bytes >= 0 {
			want = want[:m.Bytes]
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, error %v; want %q", name, got, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "site.yaml")); err == nil {
		t.Error("got site.yaml beside the data, want it left where it is")
	}
	if _, err := Extract(file, "data", dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("got error %v of writing over files, want one that they exist", err)
	}
}

// pack makes an archive with a manifest as given, and members.
func pack(t testing.TB, manifest any, members ...string) []byte {
	t.Helper()
	head, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for i, name := range append([]string{manifestName}, members...) {
		content := []byte("x")
		if i == 0 {
			content = head
		}
		h := &tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644, Format: tar.FormatPAX}
		if strings.HasSuffix(name, "@") { // a symbolic link
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, "/etc", 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// x is the checksum of "x".
const x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

func of(names ...string) Manifest {
	m := Manifest{Format: 1}
	for _, n := range names {
		m.Files = append(m.Files, File{n, 1, x})
	}
	return m
}

func TestReadRefuses(t *testing.T) {
	newer := of()
	newer.Format = Format + 1
	wrong := of("data/a")
	wrong.Files[0].SHA256 = strings.Repeat("0", 64)
	for _, tt := range []struct {
		name    string
		archive []byte
		want    string
	}{
		{"newer", pack(t, newer), "made by a newer release: its format is 2"},
		{"newer, and unlike ours", pack(t, map[string]any{"format": 9, "files": "all"}), "made by a newer release"},
		{"no format", pack(t, map[string]any{}), "format 0"},
		{"another checksum", pack(t, wrong, "data/a"), `in "data/a": the checksum is another`},
		{"a file missing", pack(t, of("data/a", "data/b"), "data/a"), `before "data/b"`},
		{"a file too many", pack(t, of("data/a"), "data/a", "data/b"), `"data/b" is not in its manifest`},
		{"files in another order", pack(t, of("data/a", "data/b"), "data/b", "data/a"), `got "data/b"`},
		{"a path to the folder above", pack(t, of("data/../../etc/passwd"), "data/../../etc/passwd"), "no file of a backup is called"},
		{"an absolute path", pack(t, of("/etc/passwd"), "/etc/passwd"), "no file of a backup is called"},
		{"a path of Windows", pack(t, of(`data/..\..\x`), `data/..\..\x`), "no file of a backup is called"},
		{"another folder", pack(t, of("etc/passwd"), "etc/passwd"), "no file of a backup is called"},
		{"the folder itself", pack(t, of("data"), "data"), "no file of a backup is called"},
		{"a file twice", pack(t, of("data/a", "data/a"), "data/a", "data/a"), "twice"},
		{"a link", pack(t, of("data/a@"), "data/a@"), "damaged"},
		{"nothing", nil, "is no backup"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(bytes.NewReader(tt.archive), func(File, io.Reader) error { return nil })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// Names that get past the manifest still can't leave the folder, over a link in it.
func TestExtractStaysBelowItsFolder(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "spool")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "b.tar.zst")
	if err := os.WriteFile(file, pack(t, of("data/spool/a"), "data/spool/a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Extract(file, "data", dir); err == nil {
		t.Error("got no error, want one")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("got %v outside, error %v; want nothing", entries, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(pack(f, of("data/a", "site/b"), "data/a", "site/b"))
	f.Add(pack(f, of()))
	f.Add([]byte("site: test\n"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		var seen []string
		m, err := read(bytes.NewReader(archive), func(f File, _ io.Reader) error {
			seen = append(seen, f.Name)
			return nil
		})
		if err != nil {
			return
		}
		for i, file := range m.Files {
			if !filepath.IsLocal(file.Name) || seen[i] != file.Name {
				t.Errorf("got %q taken for %q", seen[i], file.Name)
			}
		}
	})
}
