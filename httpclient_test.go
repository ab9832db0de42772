package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// What soak and load tests ask a server with: a client that notes when each part came. It speaks to any server with
// OpenAI's dialect.

// exchange is one request and what became of it.
type exchange struct {
	status  int
	code    string // of an error, in a status or in a stream
	retry   bool   // Retry-After was there
	text    string
	prompt  int // tokens, by the usage
	cached  int // of them
	tokens  int // of the answer, by the usage
	whole   bool
	first   time.Duration   // to the first text
	gaps    []time.Duration // between the parts behind it
	failure error           // of the connection
}

type chatBody map[string]any

func userSays(text string) []map[string]string {
	return []map[string]string{{"role": "user", "content": text}}
}

// exchangeChat sends a request and reads its answer, streamed or not. each is called for every part of a stream; it may end
// the request by cancelling ctx, or read slowly.
func exchangeChat(ctx context.Context, c *http.Client, base string, body any, each func(n int)) (x exchange) {
	data, ok := body.([]byte)
	if !ok {
		data, _ = json.Marshal(body)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/chat/completions", bytes.NewReader(data))
	if err != nil {
		x.failure = err
		return x
	}
	req.Header.Set("Content-Type", "application/json")
	begin := time.Now()
	resp, err := c.Do(req)
	if err != nil {
		x.failure = err
		return x
	}
	defer resp.Body.Close()
	x.status, x.retry = resp.StatusCode, resp.Header.Get("Retry-After") != ""
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		all, err := io.ReadAll(resp.Body)
		x.failure = err
		x.first = time.Since(begin)
		x.take(all)
		x.whole = err == nil && x.code == ""
		return x
	}
	last := begin
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for n := 0; lines.Scan(); {
		event, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if event == "[DONE]" {
			x.whole = true
			continue
		}
		before := len(x.text)
		x.take([]byte(event))
		if now := time.Now(); len(x.text) > before {
			if before == 0 {
				x.first = now.Sub(begin)
			} else {
				x.gaps = append(x.gaps, now.Sub(last))
			}
			last = now
			if n++; each != nil {
				each(n)
			}
		}
	}
	x.failure = lines.Err()
	return x
}

// take reads an answer, a part of one or an error.
func (x *exchange) take(data []byte) {
	var v struct {
		Error   struct{ Code any }
		Choices []struct {
			Delta, Message struct{ Content string }
		}
		Usage *struct {
			Prompt  int `json:"prompt_tokens"`
			Tokens  int `json:"completion_tokens"`
			Details struct {
				Cached int `json:"cached_tokens"`
			} `json:"prompt_tokens_details"`
		}
	}
	if err := json.Unmarshal(data, &v); err != nil {
		x.code = "not JSON: " + string(data[:min(len(data), 100)])
		return
	}
	if code, ok := v.Error.Code.(string); ok {
		x.code = code
	}
	for _, c := range v.Choices {
		x.text += c.Delta.Content + c.Message.Content
	}
	if v.Usage != nil {
		x.prompt, x.tokens, x.cached = v.Usage.Prompt, v.Usage.Tokens, v.Usage.Details.Cached
	}
}

// fetchJSON gets a document.
func fetchJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}
