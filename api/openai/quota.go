package openai

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"sync"
	"time"
)

// quota counts the answers that every client has running or waiting, and refuses those that are too many.
type quota struct {
	most int      // answers of a client; 0 means no limit
	salt [32]byte // makes the names that others may read

	mu      sync.Mutex
	clients map[string]int // answers of those that have any
	refused int64
}

func newQuota(most int) *quota {
	q := &quota{most: most, clients: map[string]int{}}
	rand.Read(q.salt[:]) // never fails
	return q
}

// take counts n answers of a client until release is called. The error is for the client.
func (q *quota) take(client string, n int) (release func(), e *Error) {
	if q.most > 0 && n > q.most {
		return nil, badParam("n", "is %d; one API key may have %d answers at a time here", n, q.most)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.most > 0 && q.clients[client]+n > q.most {
		q.refused++
		return nil, &Error{
			Status: http.StatusTooManyRequests, Type: rateLimit, Code: "rate_limit_exceeded", RetryAfter: 2 * time.Second,
			Message: "this API key has as many answers running or waiting as it may have at a time; try again when one has ended",
		}
	}
	q.clients[client] += n
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.clients[client] -= n; q.clients[client] == 0 {
			delete(q.clients, client)
		}
	}, nil
}

// ClientLoad is how many answers of a client run or wait.
type ClientLoad struct {
	// Name is the same for a client as long as the server runs, and says nothing about its key: it is made with a secret.
	Name    string
	Answers int
}

// maxClients bounds how many clients are told of at a time.
const maxClients = 100

// load returns the clients with the most answers, and how many requests were refused since the start.
func (q *quota) load() (clients []ClientLoad, refused int64) {
	q.mu.Lock()
	for name, n := range q.clients {
		clients = append(clients, ClientLoad{name, n})
	}
	refused = q.refused
	q.mu.Unlock()
	slices.SortFunc(clients, func(a, b ClientLoad) int { return b.Answers - a.Answers })
	clients = clients[:min(len(clients), maxClients)]
	for i := range clients {
		mac := hmac.New(sha256.New, q.salt[:])
		mac.Write([]byte(clients[i].Name))
		clients[i].Name = hex.EncodeToString(mac.Sum(nil)[:6])
	}
	return clients, refused
}

// Clients returns the clients that have answers running or waiting, those with the most, and how many requests were refused
// since the start because their client had too many.
func (h *Handler) Clients() (busy []ClientLoad, refused int64) { return h.quota.load() }
