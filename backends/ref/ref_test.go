package ref_test

import (
	"testing"

	"aquifer/backends"
	"aquifer/backends/backendtest"
	"aquifer/backends/ref"
)

// TestConformance compares the reference with itself on another number of threads: it shows that the suite's plans
// and steps are valid and that the reference meets the contract besides the numbers.
func TestConformance(t *testing.T) {
	backendtest.RunAll(t, func(*testing.T) backends.Backend { return ref.New(3) })
}

func TestIdentical(t *testing.T) {
	var opens []func(*testing.T) backends.Backend
	for _, threads := range []int{1, 2, 3, 16} {
		opens = append(opens, func(*testing.T) backends.Backend { return ref.New(threads) })
	}
	backendtest.Identical(t, opens...)
}

func BenchmarkRef(b *testing.B) {
	backendtest.Bench(b, func(*testing.B) backends.Backend { return ref.New(0) })
}
