package openai

import (
	"math"
	"strconv"
	"time"
)

// maxKeepAlive is the longest time that is counted; beyond it is for good.
const maxKeepAlive = 10 * 365 * 24 * time.Hour

// setKeepAlive reads Ollama's keep_alive: a number of seconds, or a duration with its unit.
func setKeepAlive(r *chatRequest, v node, name string) *Error {
	var keep time.Duration
	switch v.kind {
	case kindNumber:
		seconds, err := strconv.ParseFloat(v.text, 64)
		if err != nil {
			return badParam(name, "must be a number of seconds")
		}
		keep = time.Duration(math.Max(-1, math.Min(seconds, maxKeepAlive.Seconds())) * float64(time.Second))
	case kindString:
		d, err := time.ParseDuration(v.text)
		if err != nil {
			return badParam(name, "must be a number of seconds or a duration with units, such as 10m, 1h30m or -1s")
		}
		keep = d
	default:
		return wrongType(name, "a number of seconds or a string", v)
	}
	if keep >= maxKeepAlive {
		keep = -1
	}
	r.keepAlive = &keep
	return nil
}
