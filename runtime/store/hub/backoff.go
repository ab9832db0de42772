package hub

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Backoff decides whether and when something that failed is tried again. There is no limit on attempts as long as they
// get on; without progress it gives up. It is not for several goroutines.
type Backoff struct {
	First time.Duration // wait after the first failure, about; doubled after each; 1 s
	Most  time.Duration // longest wait, unless the server asks for more; 1 min
	Tries int           // failures in a row, without progress, that are accepted; 8
	Tell  func(err error, wait time.Duration)

	failed int
}

// Progress says that the last attempt got on.
func (b *Backoff) Progress() { b.failed = 0 }

// Wait waits until the next attempt. It returns err if there is to be none.
func (b *Backoff) Wait(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	tries := b.Tries
	if tries == 0 {
		tries = 8
	}
	if b.failed++; !Temporary(err) || b.failed >= tries {
		return err
	}
	wait := b.next()
	if status := (*StatusError)(nil); errors.As(err, &status) && status.RetryAfter > 0 {
		// Everybody was told the same time.
		wait = status.RetryAfter + rand.N(min(status.RetryAfter/2, 5*time.Second)+1)
	}
	if b.Tell != nil {
		b.Tell(err, wait)
	}
	return pause(ctx, wait)
}

// next is the wait after the failures so far, with jitter from half to whole.
func (b *Backoff) next() time.Duration {
	first, most := b.First, b.Most
	if first == 0 {
		first = time.Second
	}
	if most == 0 {
		most = time.Minute
	}
	wait := most
	if shift := b.failed - 1; shift < 20 {
		wait = min(most, first<<shift)
	}
	return wait/2 + rand.N(wait/2+1)
}
