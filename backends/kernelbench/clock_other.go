//go:build !linux

package kernelbench

import "time"

func threadTime() (time.Duration, bool) { return 0, false }
