package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra/doc"
)

// man is where the release wants its manual pages, dated by SOURCE_DATE_EPOCH. They are made by a test, so that the program
// does not carry the means.
var man = flag.String("man", "", "write the manual pages to this folder")

// TestManual makes a page of every command and looks whether each has what its help has.
func TestManual(t *testing.T) {
	for _, cmd := range commands() {
		var b bytes.Buffer
		cmd.DisableAutoGenTag = true
		header := &doc.GenManHeader{Title: strings.ToUpper(strings.ReplaceAll(cmd.CommandPath(), " ", "-")), Section: "1", Source: "aquifer", Manual: "aquifer"}
		if err := doc.GenMan(cmd, header, &b); err != nil {
			t.Fatal(err)
		}
		page := strings.ReplaceAll(b.String(), `\`, "")
		for _, part := range []string{".TH \"" + header.Title + "\" \"1\"", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"} {
			if !strings.Contains(page, part) {
				t.Errorf("%s: its page lacks %s", cmd.CommandPath(), part)
			}
		}
		for name := range strings.FieldsSeq(cmd.LocalFlags().FlagUsages()) {
			if strings.HasPrefix(name, "--") && !strings.Contains(page, strings.TrimRight(name, ",.")) {
				t.Errorf("%s: its page lacks %s", cmd.CommandPath(), name)
			}
		}
		if *man == "" {
			continue
		}
		file := filepath.Join(*man, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
