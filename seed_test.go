package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestSameSeedSameText: a seed gives the same text from a server that runs a request alone, beside seven others, from the
// cache, and with proposed tokens, right and wrong ones. That is what the exact precision promises; the others do not.
func TestSameSeedSameText(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	rng := rand.New(rand.NewPCG(3, 3))
	var bodies []chatBody
	for i := range 8 {
		body := chatBody{
			"model": embeddedName, "max_tokens": 24, "seed": 7 + i, "temperature": []float64{0, 0.8, 1.2}[i%3], "n": 1 + i%2,
			"messages": userSays("Repeat this, then go on: " + words(rng, 20+10*i)),
		}
		if i == 5 {
			body["frequency_penalty"], body["top_k"] = 0.5, 30
		}
		bodies = append(bodies, body)
	}
	plain := serveEmbedded(t, "--precision", "exact", "--speculate", "off")
	want := make([]string, len(bodies))
	for i, body := range bodies {
		want[i] = textOf(t, plain, body)
	}
	base := serveEmbedded(t, "--precision", "exact", "--speculate", "8")
	together := func(how string) {
		var all sync.WaitGroup
		for i, body := range bodies {
			all.Go(func() {
				if got := textOf(t, base, body); got != want[i] {
					t.Errorf("request %d, %s: %q, want %q", i, how, got, want[i])
				}
			})
		}
		all.Wait()
	}
	together("beside others")
	together("from the cache")
	for i, body := range bodies {
		if i < 3 {
			if got := textOf(t, base, body); got != want[i] {
				t.Errorf("request %d, alone: %q, want %q", i, got, want[i])
			}
		}
		guess := want[i]
		if i%2 == 1 {
			guess = strings.ReplaceAll(guess, "the", "a")
		}
		body["prediction"] = map[string]string{"type": "content", "content": guess}
	}
	together("with predictions")
	f := figures(t, base)
	accepted := f[`aquifer_draft_tokens_total{model="`+embeddedName+`",verdict="accepted"}`]
	hits := f[`aquifer_prompt_tokens_total{model="`+embeddedName+`",source="cache"}`]
	if accepted < 20 || hits < 200 {
		t.Errorf("%v proposed tokens were accepted, %v tokens found in the cache", accepted, hits)
	}
}

// textOf returns all that a request's choices say, streamed or not.
func textOf(t *testing.T, base string, body chatBody) string {
	x := exchangeChat(t.Context(), http.DefaultClient, base, body, nil)
	if x.failure != nil || !x.whole {
		t.Error(fmt.Errorf("%+v: %w", x, x.failure))
	}
	return x.text
}
