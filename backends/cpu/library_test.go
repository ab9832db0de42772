package cpu_test

import (
	"debug/elf"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const library = "lib/" + runtime.GOOS + "_" + runtime.GOARCH + "/libaquifer.so"

// TestNoAbort: a kernel library reports errors by status only, talks to nobody and exports nothing but its interface.
func TestNoAbort(t *testing.T) {
	f, err := elf.Open(library)
	if os.IsNotExist(err) {
		t.Skip("kernel library not built: run ./build.sh build")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	forbidden := []string{
		"abort", "exit", "_exit", "_Exit", "quick_exit", "__assert_fail", "getenv", "secure_getenv", "printf", "fprintf",
		"puts", "fputs", "write", "fwrite", "stdout", "stderr", "signal", "sigaction", "raise", "kill", "dlopen",
	}
	var exports []string
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF {
			if slices.Contains(forbidden, strings.TrimSuffix(s.Name, "_chk")) {
				t.Errorf("imports %s", s.Name)
			}
			continue
		}
		if elf.ST_TYPE(s.Info) == elf.STT_SECTION { // some linkers list a few, which have no names
			continue
		}
		exports = append(exports, s.Name)
		if !strings.HasPrefix(s.Name, "aq_") {
			t.Errorf("exports %s", s.Name)
		}
	}
	if len(exports) != 14 {
		t.Errorf("exports %d functions, want 14: %v", len(exports), exports)
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range libs {
		if !slices.Contains([]string{"libc.so.6", "libm.so.6", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}, l) {
			t.Errorf("needs %s", l)
		}
	}
}

// TestLibrarySize: the library is a small part of the executable's budget.
func TestLibrarySize(t *testing.T) {
	st, err := os.Stat(library)
	if err != nil {
		t.Skip("kernel library not built: run ./build.sh build")
	}
	if most := int64(5 << 18); st.Size() > most {
		t.Errorf("%d bytes, at most %d", st.Size(), most)
	}
}
