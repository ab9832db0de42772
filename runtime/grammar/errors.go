package grammar

import (
	"errors"
	"fmt"
)

// Causes an Error wraps, for callers that branch on them.
var (
	ErrInvalid       = errors.New("invalid")          // the source is malformed
	ErrUnsupported   = errors.New("not supported")    // it asks for something that can't be enforced here
	ErrUnsatisfiable = errors.New("admits no text")   // no text at all meets it
	ErrLimit         = errors.New("over the limit")   // it needs more than Limits allow
	ErrNotAllowed    = errors.New("not allowed here") // a token that the mask does not hold
)

// An Error says what is wrong with a constraint, or why an answer can't go on.
type Error struct {
	// Path is where: a JSON pointer into a schema ("" is the root), "line:column" in a GBNF grammar, else empty.
	Path string
	// Keyword is the schema keyword at Path the error is about, if it is about one.
	Keyword string
	Msg     string
	Err     error // ErrInvalid, ErrUnsupported, ErrUnsatisfiable, ErrLimit or ErrNotAllowed; or that of a context
}

// Error returns the place, the message and nothing a client's text could have put there unquoted.
func (e *Error) Error() string {
	switch {
	case e.Keyword != "":
		return fmt.Sprintf("%q at %q: %s", e.Keyword, "#"+e.Path, e.Msg)
	case e.Path != "":
		return e.Path + ": " + e.Msg
	}
	return e.Msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func invalid(format string, a ...any) *Error {
	return &Error{Msg: fmt.Sprintf(format, a...), Err: ErrInvalid}
}

func unsupported(format string, a ...any) *Error {
	return &Error{Msg: fmt.Sprintf(format, a...), Err: ErrUnsupported}
}

func unsatisfiable(format string, a ...any) *Error {
	return &Error{Msg: fmt.Sprintf(format, a...), Err: ErrUnsatisfiable}
}

func overLimit(format string, a ...any) *Error {
	return &Error{Msg: fmt.Sprintf(format, a...), Err: ErrLimit}
}
