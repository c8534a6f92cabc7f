package site

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS names the certificates for an encrypted connection. The paths are
// absolute, or empty; Load has seen that they can be used.
type TLS struct {
	CAFile            string // PEM; empty: the authorities that the machine trusts
	CertFile, KeyFile string // PEM, the client's own; both or neither
}

// Config returns what t describes for use by a client, TLS 1.2 at least. A nil
// t is a client without a certificate that trusts whom the machine trusts. The
// files are read anew, so a renewed certificate is taken up.
func (t *TLS) Config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t == nil {
		return c, nil
	}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read certificate authority: %w", err)
		}
		if c.RootCAs, err = authorities(pem); err != nil {
			return nil, fmt.Errorf("read certificate authority %q: %w", t.CAFile, err)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate %q with key %q: %w", t.CertFile, t.KeyFile, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// authorities returns the certificates in pem, of which there must be one.
func authorities(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("holds no certificate; want PEM, with BEGIN CERTIFICATE")
	}
	return pool, nil
}
