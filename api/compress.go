package api

import (
	"fmt"
	"net/http"

	"github.com/klauspost/compress/gzhttp"
)

// compressAbove is the size in bytes below which an answer is sent as it is: it fits a packet or two anyway.
const compressAbove = 2048

// compressed packs long answers with gzip or zstd for clients that take them. Event streams stay as they are: their
// events are small, and a compressor would hold them back.
func compressed(h http.Handler) (http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(compressAbove), gzhttp.ExceptContentTypes([]string{"text/event-stream"}))
	if err != nil {
		return nil, fmt.Errorf("api: compression: %w", err)
	}
	return wrap(h), nil
}
