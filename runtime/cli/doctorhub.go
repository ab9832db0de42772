package cli

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// hubReport says whether models can be pulled.
type hubReport struct {
	Endpoint  string  `json:"endpoint"`
	Reachable bool    `json:"reachable"`
	Seconds   float64 `json:"seconds,omitempty"` // until it answered
	Why       string  `json:"why,omitempty"`
}

// hubTime is how long doctor waits for the hub.
const hubTime = 3 * time.Second

var errHubSilent = errors.New("it does not answer within " + hubTime.String())

func diagnoseHub(s settings) hubReport {
	r := hubReport{Endpoint: s.str("endpoint")}
	c, err := openHub(s)
	if err != nil {
		r.Why = err.Error()
		return r
	}
	defer c.Close()
	ctx, cancel := context.WithTimeoutCause(context.Background(), hubTime, errHubSilent)
	defer cancel()
	start := time.Now()
	if err := c.Reach(ctx); err != nil {
		r.Why = err.Error()
		return r
	}
	r.Reachable, r.Seconds = true, time.Since(start).Seconds()
	return r
}

// String is what doctor prints of it.
func (r hubReport) String() string {
	if r.Reachable {
		return fmt.Sprintf("%s answers in %s", r.Endpoint, time.Duration(r.Seconds*float64(time.Second)).Round(time.Millisecond))
	}
	return fmt.Sprintf("%s can't be reached: %s; models that are in the store run without it", r.Endpoint, r.Why)
}
