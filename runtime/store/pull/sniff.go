package pull

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
)

// ContentError says that a file is not what its name says.
type ContentError struct{ Name, Why string }

func (e *ContentError) Error() string {
	return fmt.Sprintf("%s is refused: %s", e.Name, e.Why)
}

// maxHeader is what the safetensors format allows for its header.
const maxHeader = 100_000_000

// sniff looks at the start of a file before it gets its name: nothing comes in that is of another kind than it should be,
// such as an archive, a program, or the page of a portal that wants a login.
func sniff(name string, file io.ReaderAt, size int64) error {
	head := make([]byte, 512)
	n, err := file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head = head[:min(int64(n), size)]
	bad := func(why string) error { return &ContentError{name, why} }
	switch path.Ext(name) {
	case ".gguf":
		if !bytes.HasPrefix(head, []byte("GGUF")) {
			return bad("it is no GGUF file")
		}
	case ".safetensors":
		if len(head) < 9 || head[8] != '{' {
			return bad("it is no safetensors file")
		}
		if h := binary.LittleEndian.Uint64(head); h > maxHeader || int64(h) > size-8 {
			return bad("it is no safetensors file, or a cut one")
		}
	case ".json":
		text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
		if len(text) == 0 || text[0] != '{' && text[0] != '[' {
			return bad("it is no JSON")
		}
	default:
		if bytes.IndexByte(head, 0) >= 0 {
			return bad("it is no text")
		}
	}
	return nil
}
