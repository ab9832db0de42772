package api

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"aquifer/api/apitest"
)

// TestTooLargeIsTold: a client that sends all of a body over the limit before it reads gets to see why it was refused.
func TestTooLargeIsTold(t *testing.T) {
	const limit = 4 << 20
	_, base, _ := start(t, Config{Models: models(&apitest.Engine{}), Limits: Limits{BodyBytes: limit}})
	for _, chunked := range []bool{false, true} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		const size = 2*limit - 1
		head := fmt.Sprintf("Content-Length: %d\r\n\r\n", size)
		if chunked {
			head = fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n", size)
		}
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%s", head)
		if _, err := conn.Write(bytes.Repeat([]byte(" "), size)); err != nil {
			t.Errorf("chunked %v: the body cannot be sent: %v", chunked, err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("chunked %v: %v", chunked, err)
		}
		if resp.StatusCode != 413 || !resp.Close {
			t.Errorf("chunked %v: %d %v", chunked, resp.StatusCode, resp.Header)
		}
		resp.Body.Close()
		conn.Close()
	}
}

// TestLargeBodiesTakeTurns: a few large requests are worked on at a time, small ones pass them.
func TestLargeBodiesTakeTurns(t *testing.T) {
	source := newLoading(&apitest.Engine{})
	_, base, _ := start(t, Config{Models: source})
	c := client(t)
	large := strings.Replace(ask, "Hi", strings.Repeat("x", 2<<20), 1)
	var all sync.WaitGroup
	post := func(body string) {
		all.Go(func() {
			if resp, got := send(t, c, "POST", base+"/v1/chat/completions", body); resp.StatusCode != 200 {
				t.Errorf("%d %.200s", resp.StatusCode, got)
			}
		})
	}
	for range 6 {
		post(large)
	}
	for range 4 {
		<-source.asked
	}
	post(ask)
	<-source.asked // the small one
	select {
	case <-source.asked:
		t.Error("a fifth large request is worked on")
	case <-time.After(100 * time.Millisecond):
	}
	for range 7 {
		source.gate <- nil
	}
	all.Wait()
}
