package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"aquifer/runtime/kv/prefixfile"
)

// prefixReport is what the prefix cache holds.
type prefixReport struct {
	Path  string       `json:"path"`
	Bytes int64        `json:"bytes"`
	Files []prefixFile `json:"files,omitempty"` // those that were saved last first
	Why   string       `json:"why,omitempty"`   // why it can't be used
}

type prefixFile struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Note  string `json:"note,omitempty"` // the model, and how it is run
	Why   string `json:"why,omitempty"`  // why it can't be used
}

// diagnosePrefixes looks at the headers of the files; their blocks are checked when they are restored. It makes no folder. nil
// means that none is named.
func diagnosePrefixes(s settings) *prefixReport {
	dir := s.str("prefix-cache")
	if dir == "" {
		return nil
	}
	r := &prefixReport{Path: dir}
	dir, err := expandHome(dir)
	if err == nil {
		_, err = os.Stat(dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		r.Why = "it does not exist yet; serve and run make it"
		return r
	}
	var folder *prefixfile.Folder
	if err == nil {
		folder, err = prefixfile.Open(dir, 0)
	}
	if err != nil {
		r.Why = err.Error()
		return r
	}
	defer folder.Close()
	files, err := folder.List()
	if err != nil {
		r.Why = err.Error()
		return r
	}
	for _, f := range files {
		file := prefixFile{Name: f.Name, Bytes: f.Bytes, Note: f.Note}
		if f.Err != nil {
			file.Why = f.Err.Error()
		}
		r.Files = append(r.Files, file)
		r.Bytes += f.Bytes
	}
	return r
}

// lines are what doctor prints of it; none for nil.
func (r *prefixReport) lines() []string {
	switch {
	case r == nil:
		return nil
	case r.Why != "":
		return []string{r.Path + ": " + r.Why}
	}
	lines := []string{fmt.Sprintf("%s: %s, %s", r.Path, plural(len(r.Files), "file"), size(r.Bytes))}
	for _, f := range r.Files {
		line := fmt.Sprintf("%s: %s", size(f.Bytes), f.Note)
		if f.Why != "" {
			line = fmt.Sprintf("%s: of no use: %s", f.Name, f.Why)
		}
		lines = append(lines, line)
	}
	return lines
}
