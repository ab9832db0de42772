package abi_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"aquifer/backends"
	"aquifer/backends/abi"
	"aquifer/runtime/plan"
)

// mirrors pairs the structs of backend.h, in file order, with their Go sides.
var mirrors = []struct {
	c      string
	mirror any
}{
	{"aq_ref", plan.Ref{}},
	{"aq_op", plan.Op{}},
	{"aq_buffer", abi.Buffer{}},
	{"aq_weight", abi.Weight{}},
	{"aq_kv_layer", abi.KVLayer{}},
	{"aq_seq", abi.Seq{}},
	{"aq_abi_info", abi.Info{}},
	{"aq_open_args", abi.OpenArgs{}},
	{"aq_close_args", abi.CloseArgs{}},
	{"aq_info_args", abi.InfoArgs{}},
	{"aq_compile_args", abi.CompileArgs{}},
	{"aq_program_args", abi.ProgramArgs{}},
	{"aq_write_args", abi.WriteArgs{}},
	{"aq_run_args", abi.RunArgs{}},
	{"aq_read_args", abi.ReadArgs{}},
	{"aq_copy_args", abi.CopyArgs{}},
	{"aq_block_args", abi.BlockArgs{}},
	{"aq_kernel_args", abi.KernelArgs{}},
	{"aq_error", abi.Error{}},
}

// renamed are fields whose Go name is not the C name without underscores.
var renamed = map[string]string{
	"aq_ref.buffer": "Buf", "aq_ref.offset": "Off",
}

// cField is one field of a C struct: count is 1 but for arrays.
type cField struct {
	name, kind string
	count      int
}

type header struct {
	names   []string // structs in file order
	structs map[string][]cField
	enums   map[string]int64
	opNames string
}

// parse reads the subset of C that backend.h is written in; anything else in a struct or enum fails the test.
func parse(t *testing.T) header {
	t.Helper()
	data, err := os.ReadFile("backend.h")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`//[^\n]*`).ReplaceAllString(string(data), "")
	h := header{structs: map[string][]cField{}, enums: map[string]int64{}}
	h.opNames = regexp.MustCompile(`#define AQ_OP_NAMES "([^"]*)"`).FindStringSubmatch(text)[1]
	for _, m := range regexp.MustCompile(`(?s)enum \{(.*?)\};`).FindAllStringSubmatch(text, -1) {
		for _, item := range strings.Split(m[1], ",") {
			if item = strings.TrimSpace(item); item == "" {
				continue
			}
			name, value, ok := strings.Cut(item, " = ")
			n, err := strconv.ParseInt(value, 0, 64)
			if !ok || err != nil {
				t.Fatalf("enum item %q", item)
			}
			h.enums[name] = n
		}
	}
	field := regexp.MustCompile(`^(\w+) (\w+)(?:\[(\w+)\])?$`)
	for _, m := range regexp.MustCompile(`(?s)typedef struct (\w+) \{(.*?)\} (\w+);`).FindAllStringSubmatch(text, -1) {
		h.names = append(h.names, m[1])
		for _, line := range strings.Split(m[2], ";") {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			f := field.FindStringSubmatch(line)
			if f == nil {
				t.Fatalf("struct %s: field %q", m[1], line)
			}
			count := int64(1)
			if f[3] != "" {
				if count, err = strconv.ParseInt(f[3], 10, 64); err != nil {
					var ok bool
					if count, ok = h.enums[f[3]]; !ok {
						t.Fatalf("struct %s: field %q", m[1], line)
					}
				}
			}
			h.structs[m[1]] = append(h.structs[m[1]], cField{f[2], f[1], int(count)})
		}
	}
	return h
}

// size returns size and alignment of a C type.
func (h header) size(t *testing.T, kind string) (size, align uintptr) {
	t.Helper()
	switch kind {
	case "char", "uint8_t", "int8_t":
		return 1, 1
	case "uint16_t", "int16_t":
		return 2, 2
	case "uint32_t", "int32_t", "float":
		return 4, 4
	case "uint64_t", "int64_t":
		return 8, 8
	}
	fields, ok := h.structs[kind]
	if !ok {
		t.Fatalf("type %s has no fixed width", kind)
	}
	for _, f := range fields {
		s, a := h.size(t, f.kind)
		if size%a != 0 {
			t.Errorf("struct %s: the compiler pads before %s; spell the padding out", kind, f.name)
		}
		size += s * uintptr(f.count)
		align = max(align, a)
	}
	if size%align != 0 {
		t.Errorf("struct %s: the compiler pads its end; spell the padding out", kind)
	}
	return size, align
}

func TestABILayout(t *testing.T) {
	h := parse(t)
	if len(h.names) != len(mirrors) {
		t.Fatalf("backend.h has %d structs, %d are mirrored", len(h.names), len(mirrors))
	}
	for i, m := range mirrors {
		if h.names[i] != m.c {
			t.Fatalf("struct %d of backend.h is %s, want %s", i, h.names[i], m.c)
		}
		t.Run(m.c, func(t *testing.T) {
			typ := reflect.TypeOf(m.mirror)
			fields := h.structs[m.c]
			if size, _ := h.size(t, m.c); size != typ.Size() {
				t.Errorf("%d bytes in C, %d in Go", size, typ.Size())
			}
			if len(fields) != typ.NumField() {
				t.Fatalf("%d fields in C, %d in Go", len(fields), typ.NumField())
			}
			offset := uintptr(0)
			for n, f := range fields {
				g := typ.Field(n)
				size, _ := h.size(t, f.kind)
				size *= uintptr(f.count)
				if g.Offset != offset || g.Type.Size() != size {
					t.Errorf("%s is at %d with %d bytes, Go's %s at %d with %d", f.name, offset, size, g.Name, g.Offset, g.Type.Size())
				}
				if want := goName(m.c, f.name); !strings.EqualFold(g.Name, want) {
					t.Errorf("%s is called %s in Go, want %s", f.name, g.Name, want)
				}
				if isFloat := f.kind == "float"; isFloat != (elem(g.Type).Kind() == reflect.Float32) {
					t.Errorf("%s is %s, in Go %s", f.name, f.kind, g.Type)
				}
				offset += size
			}
		})
	}
}

func goName(c, field string) string {
	if name, ok := renamed[c+"."+field]; ok {
		return name
	}
	return strings.ReplaceAll(field, "_", "")
}

func elem(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Array {
		t = t.Elem()
	}
	return t
}

// TestFirstField: functions tell versions of a struct apart by its size field.
func TestFirstField(t *testing.T) {
	h := parse(t)
	for _, name := range h.names[6:] {
		if f := h.structs[name][0]; f.name != "size" || f.kind != "uint32_t" {
			t.Errorf("struct %s starts with %s %s", name, f.kind, f.name)
		}
	}
}

func TestEnums(t *testing.T) {
	h := parse(t)
	want := map[string]int64{
		"AQ_ABI_VERSION": abi.Version, "AQ_KV_BLOCK": plan.KVBlock, "AQ_KV_LAYOUT": abi.KVLayout,
		"AQ_NAME_BYTES": abi.NameBytes, "AQ_ERROR_BYTES": abi.ErrorBytes,
		"AQ_STATUS_OK": int64(abi.OK), "AQ_STATUS_INVALID": int64(abi.Invalid),
		"AQ_STATUS_UNSUPPORTED": int64(abi.Unsupported), "AQ_STATUS_MEMORY": int64(abi.Memory),
		"AQ_STATUS_SYSTEM": int64(abi.System), "AQ_COMPILE_MEASURE": abi.CompileMeasure,
		"AQ_OP_COUNT": int64(len(plan.Kinds())), "AQ_DTYPE_COUNT": int64(plan.Q8_0) + 1,
		"AQ_ROWS_TOKEN": int64(plan.PerToken), "AQ_ROWS_OUTPUT": int64(plan.PerOutput),
		"AQ_ENCODING_DENSE": int64(plan.Dense), "AQ_ENCODING_AQLM": int64(plan.AQLM),
		"AQ_NORM_RMS": int64(plan.RMSNorm), "AQ_NORM_LAYER": int64(plan.LayerNorm),
		"AQ_ROPE_HALF": int64(plan.RopeHalf), "AQ_ROPE_NEIGHBOURS": int64(plan.RopeNeighbours),
		"AQ_ACT_SILU": int64(plan.SiLU), "AQ_ACT_GELU_TANH": int64(plan.GeluTanh), "AQ_ACT_GELU_ERF": int64(plan.GeluErf),
		"AQ_PRECISION_EXACT": int64(backends.Exact), "AQ_PRECISION_FAST": int64(backends.Fast),
		"AQ_PRECISION_AUTO": int64(backends.Auto),
		"AQ_LEVEL_BEST":     int64(abi.LevelBest), "AQ_LEVEL_COUNT": int64(abi.LevelDotprod) + 1,
	}
	var ops []string
	for i, k := range plan.Kinds() {
		want["AQ_OP_"+strings.ToUpper(k.String())] = int64(i)
		ops = append(ops, k.String())
	}
	for d := plan.F32; d.Valid(); d++ {
		want["AQ_DTYPE_"+strings.ToUpper(d.String())] = int64(d)
	}
	for p := plan.Elements; p <= plan.Scales; p++ {
		want["AQ_PART_"+strings.ToUpper(p.String())] = int64(p)
	}
	for l := abi.LevelBaseline; l <= abi.LevelDotprod; l++ {
		want["AQ_LEVEL_"+strings.ToUpper(l.String())] = int64(l)
	}
	for name, value := range want {
		if got, ok := h.enums[name]; !ok || got != value {
			t.Errorf("%s is %v in backend.h, %d in Go", name, got, value)
		}
	}
	for name := range h.enums {
		if _, ok := want[name]; !ok {
			t.Errorf("%s of backend.h has no Go side", name)
		}
	}
	if got := strings.Join(ops, " "); h.opNames != got {
		t.Errorf("AQ_OP_NAMES is %q, want %q", h.opNames, got)
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{"": "", "ab\x00cd": "ab", "abc": "abc", "\x00": ""} {
		if got := abi.Text([]byte(in)); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestLoadRefuses: a library that lacks a function is named, nothing panics.
func TestLoadRefuses(t *testing.T) {
	_, _, err := abi.Load(func(name string) (uintptr, error) {
		if name == "aq_run" {
			return 0, fmt.Errorf("no symbol %s", name)
		}
		return 1, nil
	})
	if err == nil || !strings.Contains(err.Error(), "aq_run") {
		t.Errorf("got %v, want an error that names aq_run", err)
	}
}
