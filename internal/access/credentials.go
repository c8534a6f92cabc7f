package access

import (
	"bufio"
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"
)

// A password is stored as Mosquitto's password file has it: "$7$", then the
// rounds of PBKDF2 with HMAC-SHA-512, the salt and the key, the last two in
// base 64. Passwords are made here with 130 random bits, which no number of
// rounds would make safer: 1,000 cost a broker on a small board about a
// millisecond when a station connects.
const (
	scheme    = "$7$"
	rounds    = 1_000
	maxRounds = 1_000_000 // of a file that somebody else wrote
	saltBytes = 12
	keyBytes  = 64
)

// NewPassword returns a random password of 26 letters and digits.
func NewPassword() string { return rand.Text() }

// Credentials are who is let in: usernames with the hashes of their passwords.
// The zero value lets in nobody.
type Credentials struct {
	hashes map[string]string
}

// FileName is the name of the file of credentials in a site's data folder.
const FileName = "credentials"

// LoadCredentials reads a file of credentials; one that does not exist has
// nobody. Its error says which line cannot be read.
func LoadCredentials(file string) (*Credentials, error) {
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	c := &Credentials{hashes: make(map[string]string)}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		if lines.Text() == "" {
			continue
		}
		username, hash, _ := strings.Cut(lines.Text(), ":")
		if _, _, _, err := parse(hash); err != nil || username == "" {
			return nil, fmt.Errorf("%s:%d: is no username with a hash; remove the line, and make the credentials anew", file, n)
		}
		c.hashes[username] = hash
	}
	return c, lines.Err()
}

// ChangeCredentials reads a file of credentials, has change change them, and
// writes them back unless that is an error. Nobody else changes the file
// meanwhile.
func ChangeCredentials(file string, change func(*Credentials) error) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("change credentials: %w", err)
	}
	lock := flock.New(file + ".lock")
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock credentials: %w", err)
	}
	defer func() { _ = lock.Close() }()
	c, err := LoadCredentials(file)
	if err != nil {
		return err
	}
	if err := change(c); err != nil {
		return err
	}
	if err := renameio.WriteFile(file, c.Bytes(), 0o640); err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	// Root changes what a service reads: it belongs to whom the folder does.
	if info, err := os.Stat(dir); err == nil && os.Geteuid() == 0 {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			return errors.Join(os.Chown(file, int(owner.Uid), int(owner.Gid)), os.Chown(lock.Path(), int(owner.Uid), int(owner.Gid)))
		}
	}
	return nil
}

// Set gives a username a password. Its error is about the source of random
// numbers.
func (c *Credentials) Set(username, password string) error {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails
	key, err := pbkdf2.Key(sha512.New, password, salt, rounds, keyBytes)
	if err != nil {
		return fmt.Errorf("hash a password: %w", err)
	}
	if c.hashes == nil {
		c.hashes = make(map[string]string)
	}
	c.hashes[username] = scheme + strconv.Itoa(rounds) + "$" + base64.StdEncoding.EncodeToString(salt) + "$" + base64.StdEncoding.EncodeToString(key)
	return nil
}

// Remove takes a username out, and reports whether it was there.
func (c *Credentials) Remove(username string) bool {
	_, ok := c.hashes[username]
	delete(c.hashes, username)
	return ok
}

// Usernames returns everybody who is let in, sorted.
func (c *Credentials) Usernames() []string { return slices.Sorted(maps.Keys(c.hashes)) }

// Has reports whether there is such a username.
func (c *Credentials) Has(username string) bool { return c.hashes[username] != "" }

// nobody is a hash that no password has: a username that is unknown takes as
// long to refuse as a wrong password.
var nobody = scheme + strconv.Itoa(rounds) + "$" + base64.StdEncoding.EncodeToString(make([]byte, saltBytes)) + "$" + base64.StdEncoding.EncodeToString(make([]byte, keyBytes))

// Verify reports whether somebody has this password.
func (c *Credentials) Verify(username, password string) bool {
	hash, known := c.hashes[username]
	if !known {
		hash = nobody
	}
	n, salt, want, err := parse(hash)
	if err != nil {
		return false
	}
	got, err := pbkdf2.Key(sha512.New, password, salt, n, len(want))
	return err == nil && subtle.ConstantTimeCompare(got, want) == 1 && known
}

// Bytes returns the credentials as Mosquitto's password_file.
func (c *Credentials) Bytes() []byte {
	var b bytes.Buffer
	for _, username := range c.Usernames() {
		fmt.Fprintf(&b, "%s:%s\n", username, c.hashes[username])
	}
	return b.Bytes()
}

var errHash = errors.New("not a hash")

func parse(hash string) (n int, salt, key []byte, err error) {
	rest, ok := strings.CutPrefix(hash, scheme)
	fields := strings.Split(rest, "$")
	if !ok || len(fields) != 3 {
		return 0, nil, nil, errHash
	}
	n, err1 := strconv.Atoi(fields[0])
	salt, err2 := base64.StdEncoding.DecodeString(fields[1])
	key, err3 := base64.StdEncoding.DecodeString(fields[2])
	if n < 1 || n > maxRounds || len(key) == 0 || len(key) > keyBytes || errors.Join(err1, err2, err3) != nil {
		return 0, nil, nil, errHash
	}
	return n, salt, key, nil
}
