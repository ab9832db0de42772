package checkpoint

import (
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// License is what a checkpoint says about its licence; fields are empty where it says nothing.
type License struct {
	ID   string // "apache-2.0", "llama3.2", "other"
	Name string // for ID "other"
	Link string
	Text string // of the licence file
}

// License returns the licence.
func (c *Checkpoint) License() License { return c.side.license }

// readLicense takes the licence's text from its file and its identifier from the front matter of the model card. Both
// are for people, so a file that is too large or no text is passed over.
func readLicense(dir string) (License, error) {
	var l License
	if text, ok, _ := readFile(filepath.Join(dir, "README.md"), maxLicense); ok && utf8.Valid(text) {
		l.ID, l.Name, l.Link = frontMatter(string(text))
	}
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING"} {
		text, ok, err := readFile(filepath.Join(dir, name), maxLicense)
		if err != nil {
			return l, err
		}
		if ok && utf8.Valid(text) {
			l.Text = string(text)
			break
		}
	}
	return l, nil
}

// frontMatter reads the licence keys of a model card: "key: value" lines between two lines of dashes. Values that are
// lists or blocks of YAML are no licence identifiers and are passed over.
func frontMatter(card string) (id, name, link string) {
	card = strings.ReplaceAll(card, "\r\n", "\n")
	body, ok := strings.CutPrefix(card, "---\n")
	if !ok {
		return "", "", ""
	}
	body, _, ok = strings.Cut(body, "\n---")
	if !ok {
		return "", "", ""
	}
	for line := range strings.SplitSeq(body, "\n") {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		if value == "" || strings.ContainsAny(value[:1], "[{|>&*") {
			continue
		}
		switch key {
		case "license":
			id = value
		case "license_name":
			name = value
		case "license_link":
			link = value
		}
	}
	return id, name, link
}
