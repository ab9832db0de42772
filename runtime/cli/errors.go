package cli

import (
	"errors"
	"fmt"
	"strings"
)

// Exit codes.
const (
	exitOK        = 0
	exitFailure   = 1
	exitUsage     = 2
	exitInterrupt = 130 // as a shell reports death by SIGINT
)

// errInterrupted ends a command that the user stopped; nothing is printed for it.
var errInterrupted = errors.New("interrupted")

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usageErrorf(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// advice is an error together with what the user can do about it.
type advice struct {
	error
	next string
}

func (e advice) Error() string { return e.error.Error() + "; " + e.next }
func (e advice) Unwrap() error { return e.error }

// advise adds what to do next to an error, unless it says so already.
func advise(err error, format string, args ...any) error {
	var known advice
	if err == nil || errors.As(err, &known) || errors.Is(err, errInterrupted) {
		return err
	}
	return advice{err, fmt.Sprintf(format, args...)}
}

// oneLine makes a message fit to be printed: errors quote names and values from files that nobody has vetted.
func oneLine(s string) string {
	return strings.Join(strings.Fields(printable(s)), " ")
}
