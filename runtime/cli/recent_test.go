package cli

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestRecent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recent[string]
		asked, fail := 0, error(nil)
		ask := func(name string) (string, error) {
			asked++
			return name + strconv.Itoa(asked), fail
		}
		expect := func(name, want string, wantErr error) {
			t.Helper()
			if got, err := r.get(name, ask); got != want || !errors.Is(err, wantErr) {
				t.Errorf("%q, %v; want %q, %v", got, err, want, wantErr)
			}
		}
		expect("a", "a1", nil)
		expect("a", "a1", nil)
		expect("b", "b2", nil)
		time.Sleep(recentTime)
		expect("a", "a3", nil)
		fail = errors.New("gone")
		expect("c", "c4", fail)
		expect("c", "c5", fail)
		expect("a", "a3", nil)
		fail = nil
		for i := range 2 * maxRecent {
			_, _ = r.get(strconv.Itoa(i), ask)
		}
		if n := len(r.answers); n > maxRecent {
			t.Errorf("%d names are kept", n)
		}
	})
}
