package openai

import (
	"context"
	"time"
)

type clientKey struct{}

// WithClient notes whose request a context is for. Clients take turns, and what one has sent makes nobody else's answers
// faster. The name never leaves the process; it should not be the API key itself.
func WithClient(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, clientKey{}, name)
}

// clientOf returns that name, "" for none.
func clientOf(ctx context.Context) string {
	name, _ := ctx.Value(clientKey{}).(string)
	return name
}

// Note says of a request what its handler has found out, for the log: no text, and nothing that a client wrote.
type Note struct {
	Model      string // of the server's own list
	Choices    int
	Prompt     int // tokens
	Cached     int // of them
	Completion int // tokens, of all choices
	Wait       time.Duration
	FirstToken time.Duration // from the request to the first choice's first token
	Failed     string        // code of an error that came behind the status 200
}

type noteKey struct{}

// WithNote has the handler of a request fill in n.
func WithNote(ctx context.Context, n *Note) context.Context {
	return context.WithValue(ctx, noteKey{}, n)
}

// noteOf returns that note, or one that nobody reads.
func noteOf(ctx context.Context) *Note {
	if n, ok := ctx.Value(noteKey{}).(*Note); ok {
		return n
	}
	return &Note{}
}
