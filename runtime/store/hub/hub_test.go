package hub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"aquifer/runtime/store"
)

func try(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	try(t, err)
	return u
}

func TestEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"": "", "https://hub.example": "", "https://hub.example:8443/prefix/": "", "http://localhost:1": "", "http://127.0.0.1:1": "",
		"http://[::1]:1": "", "http://hub.example": "use https", "http://10.0.0.1": "use https", "ftp://x": "must be https",
		"hub.example": "no address", "https://": "no address", "https://user:pw@hub.example": "user name", "mailto:x": "no address", "://": "missing protocol",
	} {
		c, err := New(Config{Endpoint: endpoint})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", endpoint, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "pw") {
			t.Errorf("the password is in %v", err)
		}
		if endpoint == "" && c.Endpoint() != DefaultEndpoint {
			t.Errorf("default %s", c.Endpoint())
		}
	}
	if _, err := New(Config{Token: "a\r\nX-Evil: 1"}); err == nil {
		t.Error("a token of two lines was accepted")
	}
}

func TestSameServer(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"https://h", "https://h:443/x", true},
		{"https://H", "https://h", true},
		{"https://h", "http://h", false},
		{"https://h", "https://cdn.h", false},
		{"https://h", "https://h:444", false},
		{"http://h", "http://h:80", true},
		{"https://h", "https://h.evil", false},
	} {
		if got := sameServer(mustURL(t, test.a), mustURL(t, test.b)); got != test.want {
			t.Errorf("%s, %s: %v", test.a, test.b, got)
		}
	}
}

func TestPublicAddress(t *testing.T) {
	for text, want := range map[string]bool{
		"93.184.216.34": true, "8.8.8.8": true, "2606:4700::1111": true,
		"127.0.0.1": false, "::1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"fd00:ec2::254": false, "fe80::1%eth0": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "255.255.255.255": false,
		"100.64.0.1": false, "198.18.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "64:ff9b::a00:1": false,
		"2002:a00:1::": false, "240.0.0.1": false, "::ffff:8.8.8.8": true, "192.0.0.1": false, "fec0::1": false, "2001::1": false,
	} {
		if got := publicAddress(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// twoServers are a hub at 127.0.0.1, which counts as public here, and another server at an address that does not.
func twoServers(t *testing.T, inside string) (c *Client, hub, other *httptest.Server) {
	t.Helper()
	listen := func(ip string, h http.Handler) *httptest.Server {
		ln, err := net.Listen("tcp", ip+":0")
		if err != nil {
			t.Skipf("no second loopback address here: %v", err)
		}
		s := httptest.NewUnstartedServer(h)
		s.Listener.Close()
		s.Listener = ln
		s.Start()
		t.Cleanup(s.Close)
		return s
	}
	other = listen(inside, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "inside") }))
	hub = listen("127.0.0.1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/x", http.StatusFound)
	}))
	c, err := New(Config{Endpoint: hub.URL})
	try(t, err)
	t.Cleanup(c.Close)
	return c, hub, other
}

// TestRedirectInside: a public hub can't send us to an address inside a network, nor can a name that resolves to one.
func TestRedirectInside(t *testing.T) {
	c, hub, other := twoServers(t, "127.0.0.2")
	get := func() error {
		resp, err := c.send(context.Background(), http.MethodGet, mustURL(t, hub.URL), nil, true)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	// A hub that is itself inside may redirect inside.
	try(t, get())
	c.Close()
	c.local.Store(false)
	c.public = func(a netip.Addr) bool { return a.String() == "127.0.0.1" }
	var refused *AddressError
	if err := get(); !errors.As(err, &refused) || Temporary(err) {
		t.Errorf("%v", err)
	}
	// By name: the address is checked when it is dialled.
	port := other.URL[strings.LastIndex(other.URL, ":")+1:]
	c.public = func(netip.Addr) bool { return false }
	_, err := c.send(context.Background(), http.MethodGet, mustURL(t, "http://localhost:"+port), nil, false)
	if !errors.As(err, &refused) {
		t.Errorf("by name: %v", err)
	}
	// Never to link-local addresses, from wherever.
	c.local.Store(true)
	if err := c.checkAddr(netip.MustParseAddr("169.254.169.254")); err == nil {
		t.Error("the metadata service was allowed")
	}
}

// TestProxy: through a proxy of the user's choice, at whatever address.
func TestProxy(t *testing.T) {
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		io.WriteString(w, `{"sha":"`+strings.Repeat("a", 40)+`"}`)
	}))
	defer proxy.Close()
	c, err := New(Config{Endpoint: "http://localhost:1", Proxy: http.ProxyURL(mustURL(t, proxy.URL))})
	try(t, err)
	defer c.Close()
	r, err := store.ParseRepo("org/model")
	try(t, err)
	commit, err := c.Commit(context.Background(), r, "refs/pr/1")
	if err != nil || commit.String() != strings.Repeat("a", 40) {
		t.Errorf("%s, %v", commit, err)
	}
	if want := "http://localhost:1/api/models/org/model/revision/refs%2Fpr%2F1"; len(asked) != 1 || asked[0] != want {
		t.Errorf("the proxy was asked for %q, want %q", asked, want)
	}
}

// TestDowngrade: a hub on https can't send us, or the token, to http.
func TestDowngrade(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Errorf("asked: %v", r.Header) }))
	defer plain.Close()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL, http.StatusFound)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	c, err := New(Config{Endpoint: s.URL, Token: "t"})
	try(t, err)
	defer c.Close()
	u := mustURL(t, s.URL)
	// Its certificate is nobody's.
	if _, err := c.send(context.Background(), http.MethodGet, u, nil, true); err == nil || Temporary(err) {
		t.Errorf("an unknown certificate: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	c.transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	if _, err := c.send(context.Background(), http.MethodGet, u, nil, true); err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("%v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "5": 5 * time.Second, " 7 ": 7 * time.Second, "-3": 0, "soon": 0, "99999999999999": 0, "1000000": maxRetryAfter,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0, "Fri, 02 Jan 2099 03:04:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	b := Backoff{First: 8 * time.Millisecond, Most: 20 * time.Millisecond, Tries: 4}
	failure := temporary(errors.New("x"))
	var waits []time.Duration
	b.Tell = func(_ error, d time.Duration) { waits = append(waits, d) }
	for range 3 {
		try(t, b.Wait(context.Background(), failure))
	}
	for i, most := range []time.Duration{8, 16, 20} {
		if most *= time.Millisecond; waits[i] < most/2 || waits[i] > most {
			t.Errorf("wait %d is %v, at most %v", i, waits[i], most)
		}
	}
	if err := b.Wait(context.Background(), failure); err != failure {
		t.Errorf("after the last try: %v", err)
	}
	for range 50 { // no limit with progress
		b.Progress()
		b.First = time.Microsecond
		try(t, b.Wait(context.Background(), failure))
	}
	if err := b.Wait(context.Background(), permanent(errors.New("y"))); err == nil {
		t.Error("something permanent is tried again")
	}
	b = Backoff{First: time.Hour}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := b.Wait(ctx, failure); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	asked := Backoff{First: time.Hour, Tell: func(_ error, d time.Duration) { waits = []time.Duration{d} }}
	err := asked.Wait(context.Background(), temporary(&StatusError{Code: 503, RetryAfter: 10 * time.Millisecond}))
	if err != nil || waits[0] < 10*time.Millisecond || waits[0] > 16*time.Millisecond {
		t.Errorf("the server's own wait: %v, %v", waits, err)
	}
	for i := range 200 {
		if d := (&Backoff{failed: i + 1}).next(); d < time.Second/2 || d > time.Minute {
			t.Errorf("after %d failures: %v", i+1, d)
		}
	}
}

func TestClassify(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{&net.DNSError{IsNotFound: true}, false},
		{&net.DNSError{IsTimeout: true}, true},
		{&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}}}, false},
		{io.ErrUnexpectedEOF, true},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, true},
	} {
		if got := Temporary(classify(fmt.Errorf("x: %w", test.err))); got != test.want {
			t.Errorf("%v: %v", test.err, got)
		}
	}
	if Temporary(nil) || Temporary(context.Canceled) {
		t.Error("nothing, or the user's wish, is temporary")
	}
}

func TestNextPage(t *testing.T) {
	for link, want := range map[string]string{
		`<https://h/a?c=1>; rel="next"`: "https://h/a?c=1", `<https://h/a>; rel="prev", <https://h/b>; rel=next`: "https://h/b", "": "", `<x>; rel="last"`: "",
	} {
		if got := nextPage([]string{link}); got != want {
			t.Errorf("%q: %q", link, got)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		link := "https://evil.example/x"
		if strings.HasSuffix(r.URL.Path, strings.Repeat("b", 40)) {
			link = r.URL.String()
		}
		w.Header().Set("Link", "<"+link+`>; rel="next"`)
		io.WriteString(w, "[]")
	}))
	defer s.Close()
	c, err := New(Config{Endpoint: s.URL})
	try(t, err)
	defer c.Close()
	r, err := store.ParseRepo("org/model")
	try(t, err)
	for hex, want := range map[string]string{"a": "goes on at another server", "b": "more than 20 pages"} {
		commit, err := store.ParseCommit(strings.Repeat(hex, 40))
		try(t, err)
		if _, err := c.Tree(context.Background(), r, commit); err == nil || !strings.Contains(err.Error(), want) || Temporary(err) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestReach: any answer but a failure of the server's is one.
func TestReach(t *testing.T) {
	for status, want := range map[int]bool{200: true, 404: true, 401: true, 429: true, 500: false, 503: false} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodHead {
				t.Errorf("method %s", r.Method)
			}
			w.WriteHeader(status)
		}))
		c, err := New(Config{Endpoint: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Reach(t.Context()); (err == nil) != want {
			t.Errorf("%d: %v", status, err)
		}
		s.Close()
		if err := c.Reach(t.Context()); err == nil {
			t.Errorf("%d: a server that is gone can be reached", status)
		}
		c.Close()
	}
}
