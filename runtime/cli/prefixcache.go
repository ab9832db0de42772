package cli

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"aquifer/runtime/engine"
	"aquifer/runtime/kv/prefixfile"
	"aquifer/runtime/plan"
)

// trimTime is how long a command waits for others who use the folder before it makes room there.
const trimTime = 2 * time.Second

// openPrefixCache opens the folder that --prefix-cache names, and keeps it within --prefix-cache-size; nil if none is named. The
// caller closes it.
func (a *app) openPrefixCache(s settings) (*prefixfile.Folder, error) {
	limit, err := parseSize(s.str("prefix-cache-size"))
	if err != nil {
		return nil, usageErrorf("--prefix-cache-size %w", err)
	}
	dir := s.str("prefix-cache")
	if dir == "" {
		return nil, nil
	}
	if dir, err = expandHome(dir); err != nil {
		return nil, err
	}
	folder, err := prefixfile.Open(filepath.Clean(dir), limit)
	if err != nil {
		return nil, advise(err, "--prefix-cache needs a folder of your own that can be written to")
	}
	ctx, cancel := context.WithTimeout(context.Background(), trimTime)
	defer cancel()
	if err := folder.Trim(ctx); err != nil {
		a.tell("%s can't be kept within %s: %v", dir, s.str("prefix-cache-size"), err)
	}
	return folder, nil
}

// closePrefixCache closes a folder that may be none.
func closePrefixCache(f *prefixfile.Folder) error {
	if f == nil {
		return nil
	}
	return f.Close()
}

// tellPrefixes says what was restored or saved, if that was anything, and why not more.
func (a *app) tellPrefixes(done, model string, p engine.Prefixes) {
	if p.Blocks > 0 {
		a.tell("%s %s of earlier prompts for %s (%s) in %s", done, plural(p.Blocks*plan.KVBlock, "token"), model, size(p.Bytes), seconds(p.Time))
	}
	if p.Damaged > 0 {
		a.tell("%d of %s in the prefix cache of %s are damaged and were left out", p.Damaged, plural(p.Of, "block"), model)
	}
	if p.Err != nil {
		a.tell("the prefix cache of %s: %v", model, p.Err)
	}
}

var sizeForm = regexp.MustCompile(`^([0-9]{1,18}(?:\.[0-9]{1,9})?) ?([KMGT]I?B|B|)$`)

// parseSize reads a number of bytes with a unit.
func parseSize(text string) (int64, error) {
	m := sizeForm.FindStringSubmatch(strings.ToUpper(text))
	if m == nil {
		return 0, fmt.Errorf("is %q, must be bytes or a number with a unit, as in 500MB, 4GB or 8GiB", text)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, fmt.Errorf("is %q: %w", text, err)
	}
	base := 1000.0
	if strings.Contains(m[2], "I") {
		base = 1024
	}
	n *= math.Pow(base, float64(strings.IndexByte("BKMGT", (m[2] + "B")[0])))
	if n < 1e6 || n > 1e15 {
		return 0, fmt.Errorf("is %q, must be from 1MB to 1000TB", text)
	}
	return int64(n), nil
}
