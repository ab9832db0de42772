package models

import (
	"slices"
	"strings"

	"aquifer/models/checkpoint"
)

// fields reads and checks config values. It keeps its first error; later calls return defaults.
type fields struct {
	config checkpoint.Config
	err    error
}

// required marks an integer field without a default.
const required = -1

// integer is a row of a range table. def is the value of an absent field, or required.
type integer struct {
	to     *int
	key    string
	def    int
	lo, hi int // allowed range, both inclusive
}

func (f *fields) ints(table []integer) {
	for _, r := range table {
		*r.to = f.int(r.key, r.def, r.lo, r.hi)
	}
}

func (f *fields) fail(key, format string, args ...any) {
	if f.err == nil {
		f.err = f.config.Errorf(key, format, args...)
	}
}

// keep keeps an error unless there is one.
func (f *fields) keep(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *fields) int(key string, def, lo, hi int) int {
	v, ok, err := f.config.Int(key)
	switch {
	case f.err != nil:
	case err != nil:
		f.err = err
	case !ok && def == required:
		f.fail(key, "is missing")
	case !ok:
		return def
	case v < lo || v > hi:
		f.fail(key, "is %d, must be %d..%d", v, lo, hi)
	default:
		return v
	}
	return max(def, lo)
}

// float reads a number of the half-open range (lo, hi].
func (f *fields) float(key string, def, lo, hi float64) float64 {
	v, ok, err := f.config.Float(key)
	switch {
	case f.err != nil:
	case err != nil:
		f.err = err
	case !ok && def <= lo:
		f.fail(key, "is missing")
	case !ok:
	case v <= lo || v > hi:
		f.fail(key, "is %v, must be above %v and at most %v", v, lo, hi)
	default:
		return v
	}
	return def
}

func (f *fields) bool(key string, def bool) bool {
	v, ok, err := f.config.Bool(key)
	if err != nil && f.err == nil {
		f.err = err
	}
	if !ok || err != nil {
		return def
	}
	return v
}

// choice reads a string that has to be one of allowed; the first is the default.
func (f *fields) choice(key string, allowed ...string) string {
	v, ok, err := f.config.String(key)
	switch {
	case err != nil && f.err == nil:
		f.err = err
	case ok && !slices.Contains(allowed, v):
		f.fail(key, "%.40q is not supported, only %s", v, strings.Join(allowed, ", "))
	case ok:
		return v
	}
	return allowed[0]
}

// floats reads a list of n positive numbers.
func (f *fields) floats(key string, n int) []float64 {
	v, ok, err := f.config.Floats(key)
	switch {
	case err != nil && f.err == nil:
		f.err = err
	case !ok:
		f.fail(key, "is missing")
	case len(v) != n:
		f.fail(key, "has %d values, must have %d", len(v), n)
	case slices.Min(v) <= 0:
		f.fail(key, "has the value %v, must be positive", slices.Min(v))
	}
	if f.err != nil {
		return make([]float64, n)
	}
	return v
}

// object reads the fields of an object; ok is false where there is none.
func (f *fields) object(key string) (sub *fields, ok bool) {
	c, ok, err := f.config.Object(key)
	if err != nil && f.err == nil {
		f.err = err
	}
	return &fields{config: c, err: f.err}, ok && f.err == nil
}
