package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// How long certificates hold. An authority lives in loggers that nobody wants to
// visit; what it signs is made anew by the same command.
const (
	authorityYears   = 20
	certificateYears = 5
	// RenewBefore is how long before its end a server's certificate is replaced.
	RenewBefore = 90 * 24 * time.Hour
)

// An Authority is the site's own: it signs the broker's certificate and those of
// stations.
type Authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
	now         func() time.Time
}

// A Pair is a certificate and its key, both in PEM.
type Pair struct{ Certificate, Key []byte }

// The files of an authority and of the broker's certificate in their folder.
const (
	AuthorityFile    = "ca.pem"
	authorityKeyFile = "ca.key"
	ServerFile       = "server.pem"
	ServerKeyFile    = "server.key"
)

// The files of the certificate with which the ingester answers over HTTPS.
const (
	WebFile    = "web.pem"
	WebKeyFile = "web.key"
)

// OpenAuthority returns the authority in a folder. It makes one there if there is
// none, for a site of this name.
func OpenAuthority(dir, site string, now func() time.Time) (*Authority, error) {
	pair, err := readPair(dir, AuthorityFile, authorityKeyFile)
	if errors.Is(err, os.ErrNotExist) {
		if pair, err = newAuthority(site, now()); err == nil {
			err = pair.write(dir, AuthorityFile, authorityKeyFile)
		}
	}
	if err != nil {
		return nil, err
	}
	a := &Authority{now: now}
	if a.certificate, a.key, err = pair.parse(); err != nil {
		return nil, fmt.Errorf("read the authority in %s: %w", dir, err)
	}
	return a, nil
}

func newAuthority(site string, now time.Time) (Pair, error) {
	name := "Tofuwatch " + site
	return sign(&x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.AddDate(authorityYears, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // it signs no other authority
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil, nil)
}

// backdated is how far a logger's clock may be behind when it first meets a new
// certificate.
const backdated = 24 * time.Hour

// ForServer returns a certificate for a server that is reached by these names
// and addresses.
func (a *Authority) ForServer(hosts []string) (Pair, error) {
	c := a.template(hosts[0], x509.ExtKeyUsageServerAuth)
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, host)
		}
	}
	return sign(c, a.certificate, a.key)
}

// ForClient returns a certificate with which a client proves its username.
func (a *Authority) ForClient(username string) (Pair, error) {
	return sign(a.template(username, x509.ExtKeyUsageClientAuth), a.certificate, a.key)
}

// WriteClient makes a certificate of a client in a folder, username.pem with
// username.key, and returns the first one's path.
func (a *Authority) WriteClient(dir, username string) (string, error) {
	pair, err := a.ForClient(username)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, username+".pem"), pair.write(dir, username+".pem", username+".key")
}

func (a *Authority) template(name string, use x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		NotBefore:   a.now().Add(-backdated),
		NotAfter:    a.now().AddDate(certificateYears, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
}

// RenewServer makes the broker's certificate in a folder if there is none, it ends
// within [RenewBefore], or it is not for all of these hosts. It returns when the
// certificate ends, and whether it is a new one.
func (a *Authority) RenewServer(dir string, hosts []string) (ends time.Time, renewed bool, err error) {
	return a.renew(dir, ServerFile, ServerKeyFile, hosts)
}

// RenewWeb is RenewServer for the ingester's certificate.
func (a *Authority) RenewWeb(dir string, hosts []string) (ends time.Time, renewed bool, err error) {
	return a.renew(dir, WebFile, WebKeyFile, hosts)
}

func (a *Authority) renew(dir, file, keyFile string, hosts []string) (ends time.Time, renewed bool, err error) {
	if pair, err := readPair(dir, file, keyFile); err == nil {
		if c, _, err := pair.parse(); err == nil && a.stillGood(c, hosts) {
			return c.NotAfter, false, nil
		}
	}
	pair, err := a.ForServer(hosts)
	if err != nil {
		return time.Time{}, false, err
	}
	c, _, err := pair.parse()
	if err != nil {
		return time.Time{}, false, err
	}
	return c.NotAfter, true, pair.write(dir, file, keyFile)
}

func (a *Authority) stillGood(c *x509.Certificate, hosts []string) bool {
	if c.CheckSignatureFrom(a.certificate) != nil || a.now().Add(RenewBefore).After(c.NotAfter) {
		return false
	}
	for _, host := range hosts {
		if c.VerifyHostname(host) != nil {
			return false
		}
	}
	return true
}

// sign makes a key and a certificate for it; without a parent it signs itself.
func sign(c, parent *x509.Certificate, by crypto.Signer) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make a key: %w", err)
	}
	if parent == nil {
		parent, by = c, key
	}
	certificate, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		return Pair{}, fmt.Errorf("sign a certificate: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode a key: %w", err)
	}
	return Pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}, nil
}

func (p Pair) parse() (*x509.Certificate, crypto.Signer, error) {
	certificate, _ := pem.Decode(p.Certificate)
	key, _ := pem.Decode(p.Key)
	if certificate == nil || key == nil {
		return nil, nil, errors.New("no certificate and key in PEM")
	}
	c, err := x509.ParseCertificate(certificate.Bytes)
	if err != nil {
		return nil, nil, err
	}
	k, err := x509.ParsePKCS8PrivateKey(key.Bytes)
	if err != nil {
		return nil, nil, err
	}
	signer, ok := k.(crypto.Signer)
	if !ok {
		return nil, nil, errors.New("the key cannot sign")
	}
	return c, signer, nil
}

func readPair(dir, certificate, key string) (p Pair, err error) {
	if p.Certificate, err = os.ReadFile(filepath.Join(dir, certificate)); err != nil {
		return p, fmt.Errorf("read certificate: %w", err)
	}
	if p.Key, err = os.ReadFile(filepath.Join(dir, key)); err != nil {
		// Not as an error that says "does not exist": whoever moved the key away for
		// safety must not get another authority.
		return p, fmt.Errorf("read the key of %s: %s", filepath.Join(dir, certificate), err.Error())
	}
	return p, nil
}

func (p Pair) write(dir, certificate, key string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	// The key first: a certificate without its key would be taken for a loss.
	if err := renameio.WriteFile(filepath.Join(dir, key), p.Key, 0o600); err != nil {
		return fmt.Errorf("write the certificate's key: %w", err)
	}
	if err := renameio.WriteFile(filepath.Join(dir, certificate), p.Certificate, 0o644); err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	return nil
}
