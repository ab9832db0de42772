package store

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Repo is the name of a model on the hub, ORG/NAME or, for a few old ones, NAME. It was checked when it was made.
type Repo struct{ id string }

const maxRepo = 96

var repoPart = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$`)

// ParseRepo reads the name of a model on the hub.
func ParseRepo(id string) (Repo, error) {
	parts := strings.Split(id, "/")
	ok := len(parts) <= 2 && len(id) <= maxRepo && !strings.Contains(id, "--") && !strings.Contains(id, "..")
	for _, part := range parts {
		ok = ok && repoPart.MatchString(part) && !reserved(part)
	}
	if !ok {
		return Repo{}, fmt.Errorf("%.120q is not the name of a model on the hub, which is ORG/NAME of letters, digits, dots, - and _", id)
	}
	return Repo{id}, nil
}

// String is ORG/NAME.
func (r Repo) String() string { return r.id }

const repoPrefix = "models--"

func (r Repo) dir() string { return repoPrefix + strings.ReplaceAll(r.id, "/", "--") }

// repoOfDir reads the name of a folder of the cache; ok is false for one that holds no model.
func repoOfDir(dir string) (r Repo, ok bool) {
	name, ok := strings.CutPrefix(dir, repoPrefix)
	if !ok {
		return Repo{}, false
	}
	r, err := ParseRepo(strings.ReplaceAll(name, "--", "/"))
	return r, err == nil && r.dir() == dir
}

// Commit is a commit of a repository: 40 lower-case hexadecimal digits.
type Commit struct{ hex string }

// ParseCommit reads a full commit id.
func ParseCommit(text string) (Commit, error) {
	if len(text) != 40 || !isHex(text) {
		return Commit{}, fmt.Errorf("%.80q is not a commit, which is 40 hexadecimal digits", text)
	}
	return Commit{text}, nil
}

// String is the commit in hexadecimal digits.
func (c Commit) String() string { return c.hex }

func isHex(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'f') })
}

// MainRevision is the branch that is meant when none is named.
const MainRevision = "main"

const maxRevision = 200

var revisionPart = regexp.MustCompile(`^[A-Za-z0-9_+-][A-Za-z0-9._+-]*$`)

// CheckRevision checks the name of a branch or tag, or a commit.
func CheckRevision(name string) error {
	ok := len(name) <= maxRevision && !strings.Contains(name, "..")
	for part := range strings.SplitSeq(name, "/") {
		ok = ok && revisionPart.MatchString(part) && !strings.HasSuffix(part, ".") && !reserved(part)
	}
	if !ok {
		return fmt.Errorf("%.120q is not the name of a branch, a tag or a commit", name)
	}
	return nil
}

// Limits of the paths in a repository; the published models stay far below.
const (
	maxPath      = 512
	maxPathDepth = 6
)

// CheckPath checks the path of a file in a repository. One that some system can't hold, or takes for something else, is
// refused on all.
func CheckPath(name string) error {
	var bad error
	switch parts := strings.Split(name, "/"); {
	case len(name) > maxPath || len(parts) > maxPathDepth:
		bad = fmt.Errorf("is longer than %d bytes or deeper than %d folders", maxPath, maxPathDepth)
	case path.Clean(name) != name || path.IsAbs(name) || slices.Contains(parts, ".."):
		bad = errors.New("is no plain relative path")
	case strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r > 0x7e || strings.ContainsRune(`\:*?"<>|`, r) }):
		bad = errors.New("has a character that not every system allows")
	case slices.ContainsFunc(parts, func(p string) bool {
		return p == "" || p[0] == '.' || strings.HasSuffix(p, ".") || strings.HasSuffix(p, " ") || reserved(p)
	}):
		bad = errors.New("has a part that not every system allows")
	default:
		return nil
	}
	return fmt.Errorf("file name %.120q %w", name, bad)
}

// reserved reports whether Windows takes a name for a device.
func reserved(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch base {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(base) == 4 && (strings.HasPrefix(base, "COM") || strings.HasPrefix(base, "LPT")) && base[3] >= '0' && base[3] <= '9'
}
