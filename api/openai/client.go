package openai

import "context"

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
