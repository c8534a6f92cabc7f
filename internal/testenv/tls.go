package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TLS names files, in PEM, for a server on this machine and a client of it.
type TLS struct {
	CAFile   string // who signed both certificates
	CertFile string // the client's certificate
	KeyFile  string // and its key

	ServerCertFile string // the server's certificate, for 127.0.0.1 and localhost
	ServerKeyFile  string // and its key
}

// NewTLS makes an authority, and certificates of it for a server and a client.
func NewTLS(t testing.TB) TLS {
	t.Helper()
	dir := t.TempDir()
	files := TLS{
		CAFile:         filepath.Join(dir, "ca.pem"),
		CertFile:       filepath.Join(dir, "client.pem"),
		KeyFile:        filepath.Join(dir, "client.key"),
		ServerCertFile: filepath.Join(dir, "server.pem"),
		ServerKeyFile:  filepath.Join(dir, "server.key"),
	}
	ca := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Tofuwatch tests"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	caKey := newKey(t)
	writeCertificate(t, files.CAFile, ca, caKey, ca, caKey)

	serverKey := newKey(t)
	writeKey(t, files.ServerKeyFile, serverKey)
	writeCertificate(t, files.ServerCertFile, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "localhost"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, serverKey, ca, caKey)

	clientKey := newKey(t)
	writeKey(t, files.KeyFile, clientKey)
	writeCertificate(t, files.CertFile, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "tofuwatch"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, clientKey, ca, caKey)
	return files
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// writeCertificate signs cert, valid from an hour ago for a day, and writes it to file.
func writeCertificate(t testing.TB, file string, cert *x509.Certificate, key *ecdsa.PrivateKey, ca *x509.Certificate, caKey *ecdsa.PrivateKey) {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	cert.SerialNumber = serial
	cert.NotBefore = time.Now().Add(-time.Hour)
	cert.NotAfter = cert.NotBefore.Add(24 * time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, cert, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatalf("sign %s: %v", file, err)
	}
	writePEM(t, file, "CERTIFICATE", der)
}

func writeKey(t testing.TB, file string, key *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, file, "PRIVATE KEY", der)
}

func writePEM(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
