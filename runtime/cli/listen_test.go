package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// makeCertificate writes a self-signed pair for localhost with the given serial number and returns a pool that trusts it.
func makeCertificate(t *testing.T, certFile, keyFile string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, certFile, public)
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return pool
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// serving runs aquifer serve with the tiny model until it says where it answers.
func serving(t *testing.T, args ...string) (where string) {
	t.Helper()
	where, _, _ = startServing(t, append([]string{tinyModel(t, false), "--context", "100"}, args...)...)
	return where
}

// TestServeTLS: HTTPS with the certificate that was given, and with the next one after a renewal.
func TestServeTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := makeCertificate(t, cert, key, 1)
	where := serving(t, "--addr", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key)
	base := strings.TrimSuffix(where, "/v1")
	if !strings.HasPrefix(base, "https://") {
		t.Fatalf("it says %q", where)
	}
	serial := func(pool *x509.CertPool) int64 {
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true, ForceAttemptHTTP2: true}
		resp, err := (&http.Client{Transport: tr}).Get(base + "/health")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.ProtoMajor != 1 {
			t.Errorf("status %d, %s", resp.StatusCode, resp.Proto)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(pool); got != 1 {
		t.Errorf("certificate %d", got)
	}
	// A half-written renewal changes nothing.
	write(t, cert, []byte("-----BEGIN"))
	if got := serial(pool); got != 1 {
		t.Errorf("certificate %d", got)
	}
	pool = makeCertificate(t, cert, key, 2)
	if got := serial(pool); got != 2 {
		t.Errorf("certificate %d after the renewal", got)
	}
	// Who speaks plain HTTP gets an answer that says so, and no model.
	resp, err := http.Get("http" + strings.TrimPrefix(base, "https") + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 400 || !strings.Contains(string(body), "HTTPS") {
		t.Errorf("plain HTTP: %d %s", resp.StatusCode, body)
	}
}

// TestServeUnix: a socket that only its user may open, a stale one replaced, one in use left alone; ps finds it.
func TestServeUnix(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permissions of sockets are a matter of Unix")
	}
	path := filepath.Join(t.TempDir(), "s")
	// What a killed server leaves behind.
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	if where := serving(t, "--addr", "unix:"+path); !strings.Contains(where, "http://localhost/v1") || !strings.Contains(where, path) {
		t.Errorf("it says %q", where)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if code, stdout, stderr := invoke(t, "", "ps", "--addr", "unix:"+path); code != 0 || !strings.Contains(stdout, "tiny-1x8g8") {
		t.Errorf("ps: %d %s %s", code, stdout, stderr)
	}
	if _, err := listenUnix(path, false); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a socket in use: %v", err)
	}
	other := filepath.Join(t.TempDir(), "t")
	shared, err := listenUnix(other, true)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(other); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("with a key: %v, %v", info, err)
	}
	shared.Close()
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, []byte("mine"))
	if _, err := listenUnix(file, false); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file: %v", err)
	}
}

func TestCertificateRefused(t *testing.T) {
	dir := t.TempDir()
	cert, key, other := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "other")
	makeCertificate(t, cert, other, 1)
	makeCertificate(t, cert, key, 2)
	for _, pair := range [][2]string{{cert, other}, {cert, dir}, {filepath.Join(dir, "none"), key}, {key, cert}} {
		if _, err := newCertificate(pair[0], pair[1], slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%v was accepted", pair)
		}
	}
	for _, args := range [][]string{{"--tls-cert", cert}, {"--tls-key", key}} {
		code, _, stderr := invoke(t, "", append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...)
		if code != 2 || !strings.Contains(stderr, "belong together") {
			t.Errorf("%v: %d %s", args, code, stderr)
		}
	}
	code, _, stderr := invoke(t, "", "serve", "--addr", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", other)
	if code != 1 || !strings.Contains(stderr, "--tls-key") {
		t.Errorf("a key of another certificate: %d %s", code, stderr)
	}
	code, _, stderr = invoke(t, "", "serve", "--addr", "127.0.0.1:0", "--origin", "*")
	if code == 0 || !strings.Contains(stderr, "origin") {
		t.Errorf("all origins: %d %s", code, stderr)
	}
}
