package cpu

import "strings"

// Reason says in a few words when a kernel that Program.Kernels names is chosen (csrc/product.c), for reports; "" for a
// name it does not know.
func Reason(kernel string) string {
	kind := func(word string) bool { return strings.Contains(" "+kernel+" ", " "+word+" ") }
	switch {
	case kind("vector"):
		return "a vector, kept as float32"
	case kind("dense"):
		return "no codes: few tokens take the rows as they are stored, many share decoded panels"
	case kind("tables"):
		return "codes of up to 8 bits: few tokens look sums up by code where that is cheaper, many share decoded panels"
	case kind("codes"):
		return "codes of more than 8 bits: few tokens fetch entries by code, many share decoded panels"
	case kind("panel"):
		return "no kernel for few tokens takes this scheme at this level: panels are decoded in every step"
	}
	return ""
}
