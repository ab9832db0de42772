package openai

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"aquifer/runtime/engine"
)

// logprobs is what clients get for "logprobs": true.
type logprobs struct {
	Content []tokenLogprob  `json:"content"`
	Refusal *[]tokenLogprob `json:"refusal"` // always null
}

type tokenLogprob struct {
	oneLogprob
	Top []oneLogprob `json:"top_logprobs"`
}

type oneLogprob struct {
	Token   string    `json:"token"`
	Logprob float64   `json:"logprob"`
	Bytes   byteArray `json:"bytes"`
}

// byteArray is sent as a list of numbers, null if it is nil: encoding/json would make base64 of it.
type byteArray []byte

// MarshalJSON implements json.Marshaler.
func (b byteArray) MarshalJSON() ([]byte, error) {
	if b == nil {
		return []byte("null"), nil
	}
	numbers := make([]int, len(b))
	for i, v := range b {
		numbers[i] = int(v)
	}
	return json.Marshal(numbers)
}

// logprobsOf shapes a list, which may be empty.
func logprobsOf(list []engine.Logprob) *logprobs {
	l := &logprobs{Content: make([]tokenLogprob, len(list))}
	for i, p := range list {
		l.Content[i] = tokenLogprob{oneLogprob: logprobOf(p), Top: make([]oneLogprob, len(p.Top))}
		for j, top := range p.Top {
			l.Content[i].Top[j] = logprobOf(top)
		}
	}
	return l
}

// leastLogprob is what OpenAI's specification gives for "very unlikely"; JSON has no infinity.
const leastLogprob = -9999

func logprobOf(p engine.Logprob) oneLogprob {
	return oneLogprob{Token: tokenText(p.Bytes), Logprob: max(p.Value, leastLogprob), Bytes: p.Bytes}
}

// tokenText spells a token as OpenAI does: bytes that are no character by themselves stand as \xNN.
func tokenText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out []byte
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			out = append(out, `\x`...)
			out = append(out, strconv.FormatUint(uint64(b[0])|0x100, 16)[1:]...)
		} else {
			out = append(out, b[:n]...)
		}
		b = b[n:]
	}
	return string(out)
}
