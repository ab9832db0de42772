package cli

import (
	"math"
	"runtime/debug"
	"testing"

	"aquifer/runtime/engine"
)

func TestHeapLimit(t *testing.T) {
	for _, tt := range []struct{ held, spare, want int64 }{
		{100 << 20, 4 << 30, 4<<30 + 100<<20},
		{100 << 20, 1, leastHeap},
		{1 << 20, math.MaxInt64, math.MaxInt64},
	} {
		if got := heapLimit(tt.held, tt.spare); got != tt.want {
			t.Errorf("%d held, %d to spare: %d, want %d", tt.held, tt.spare, got, tt.want)
		}
	}
	if n := goMemory(); n < 1<<20 || n > 1<<40 {
		t.Errorf("Go holds %d bytes", n)
	}
}

// TestUsersHeapLimit: a limit from outside stays.
func TestUsersHeapLimit(t *testing.T) {
	old, ask := debug.SetMemoryLimit(3<<30), unlimited
	defer func() {
		debug.SetMemoryLimit(old)
		unlimited = ask
	}()
	unlimited = func() bool { return false }
	limitHeap(1 << 30)
	if got := debug.SetMemoryLimit(-1); got != 3<<30 {
		t.Errorf("the limit became %d", got)
	}
	if engine.Spare(0) == 0 {
		t.Skip("the system does not say what memory it has left")
	}
	unlimited = func() bool { return true }
	limitHeap(0)
	if got := debug.SetMemoryLimit(-1); got == 3<<30 || got < leastHeap {
		t.Errorf("the limit is %d", got)
	}
}
