package backendtest

import (
	"fmt"
	"math"

	"aquifer/backends"
	"aquifer/runtime/plan"
)

// tolerance bounds the error of a token's row of results: norm is the bound of ‖got-want‖/‖want‖, each the a single
// element may be off by ten times that, relative to the row's root mean square, which catches one wrong element among
// many in fast mode.
type tolerance struct {
	norm float64
	// spurious allows NaN and infinities where the oracle has numbers.
	spurious bool
	// only lists the rows that have to agree; nil for all.
	only map[int]bool
}

const (
	// rounding: one or two roundings to float32, 2^-24 each.
	rounding = 3e-7
	// elementary: float32 arithmetic with exp, tanh or a sum of squares; 1 to 4 units in the last place each.
	elementary = 2e-6
	// linearExact is the contract of backends.Exact.
	linearExact = 1e-6
	// linearFast is the contract of backends.Fast.
	linearFast = 3e-2
	// attending: scores of size s carry an absolute error of about s*2^-22, which is the relative error of their
	// exponentials; scores in the suite reach 20.
	attending = 1e-5
)

// linearTolerance returns the bound of one product.
func linearTolerance(p backends.Precision) tolerance {
	if p == backends.Fast {
		return tolerance{norm: linearFast}
	}
	return tolerance{norm: linearExact}
}

// ropeTolerance: with angles in float32, position*frequency is off by pos*2^-24 radians, and so is the rotated pair.
func ropeTolerance(pos int) tolerance { return tolerance{norm: elementary + float64(pos)*1.2e-7} }

// modelTolerance bounds the features behind a few random layers: the errors of their products add up, and random
// layers amplify more than trained ones. Keys that differ in their last bit may be rounded to neighbouring bytes, a
// 254th of their group's largest apart.
func modelTolerance(o backends.Options) tolerance {
	switch {
	case o.Precision == backends.Fast:
		return tolerance{norm: 0.25}
	case o.KV == plan.Q8_0:
		return tolerance{norm: 1e-2}
	default:
		return tolerance{norm: 1e-4}
	}
}

// compare checks rows of results. floor is the smallest root mean square that a row's error is measured against.
// Where the oracle has NaN, the tested backend has to have NaN; for an infinity, anything that is not a number.
func compare(got, want []float32, width int, tol tolerance, floor []float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d values, want %d", len(got), len(want))
	}
	for r := range len(want) / width {
		if tol.only != nil && !tol.only[r] {
			continue
		}
		if err := compareRow(got[r*width:][:width], want[r*width:][:width], tol, floor[r]); err != nil {
			return fmt.Errorf("row %d: %w", r, err)
		}
	}
	return nil
}

func compareRow(got, want []float32, tol tolerance, floor float64) error {
	var squares, errors float64
	worst, at := 0.0, 0
	for i, w := range want {
		g := float64(got[i])
		finite := !math.IsNaN(g) && !math.IsInf(g, 0)
		switch w := float64(w); {
		case math.IsNaN(w):
			if !math.IsNaN(g) {
				return fmt.Errorf("column %d is %v, want NaN", i, g)
			}
		case math.IsInf(w, 0):
			if finite {
				return fmt.Errorf("column %d is %v, want %v", i, g, w)
			}
		case !finite:
			if !tol.spurious {
				return fmt.Errorf("column %d is %v, want %v", i, g, w)
			}
		default:
			d := math.Abs(g - w)
			if d > worst {
				worst, at = d, i
			}
			squares += w * w
			errors += d * d
		}
	}
	n := float64(len(want))
	rms := max(math.Sqrt(squares/n), floor)
	if e := math.Sqrt(errors/n) / rms; e > tol.norm {
		return fmt.Errorf("relative error %.3g, at most %.3g; worst is column %d: %v, want %v", e, tol.norm, at, got[at], want[at])
	}
	if e := worst / rms; e > 10*tol.norm {
		return fmt.Errorf("column %d is %v, want %v: off by %.3g of the row's size, at most %.3g", at, got[at], want[at], e, 10*tol.norm)
	}
	return nil
}
