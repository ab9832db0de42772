package tokenizer

import (
	"errors"
	"fmt"
	"strings"
)

// Causes a FormatError wraps, for callers that branch on them.
var (
	ErrInvalid     = errors.New("invalid")
	ErrUnsupported = errors.New("not supported")
	ErrLimit       = errors.New("over the limit")
)

// A FormatError says which field of a tokenizer file was refused and why.
type FormatError struct {
	Field  string // path in the file, such as "model.merges[3]" or "tokens[17]"
	Reason string
	Err    error // ErrInvalid, ErrUnsupported or ErrLimit
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("tokenizer: %s: %v: %s", e.Field, e.Err, e.Reason)
}

func (e *FormatError) Unwrap() error { return e.Err }

func errInvalid(field, format string, args ...any) error {
	return newError(ErrInvalid, field, format, args)
}

func errUnsupported(field, format string, args ...any) error {
	return newError(ErrUnsupported, field, format, args)
}

func errLimit(field, format string, args ...any) error {
	return newError(ErrLimit, field, format, args)
}

func newError(cause error, field, format string, args []any) error {
	return &FormatError{Field: clip(field), Reason: clip(fmt.Sprintf(format, args...)), Err: cause}
}

// clip keeps what a file says about itself from filling the log.
func clip(s string) string {
	const longest = 300
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "") + "..."
}

// Bounds on what a file may ask for. The largest published vocabulary (Gemma 3) has 262 k tokens, 515 k merges, 6 k
// added tokens, pieces of 93 bytes and a file of 33 MB; the bounds leave room above it without letting a file
// choose our memory.
const (
	maxFile        = 64 << 20 // bytes of JSON, and of all GGUF strings together
	maxPiece       = 64 << 10 // bytes of one token
	maxVocab       = 1 << 22  // ids
	maxMerges      = 1 << 23  // must stay below 1<<rankBits
	maxSection     = 1 << 20  // bytes of JSON of one pipeline section
	maxSteps       = 64       // steps of one pipeline section, nesting counted
	maxAdded       = 1 << 16  // added tokens
	maxAddedPiece  = 512      // bytes of one added token: matching costs text x this at worst
	maxAddedTotal  = 1 << 20  // bytes of all added tokens
	maxPattern     = 4 << 10  // bytes of one regular expression
	maxPrepend     = 64       // bytes a normalizer step may put in front or in place of a match
	maxGrowth      = 4        // times that replacements may lengthen a text
	maxTemplate    = 64       // special tokens round a text
	maxSplitWork   = 1 << 29  // bytes hashed while listing the splits of scored pieces
	maxScoredPiece = 1 << 10  // bytes of one mergeable piece in a vocabulary without merges
)
