package chat

// object finds the end of a JSON object, byte by byte.
type object struct {
	depth    int // of objects and arrays
	str, esc bool
}

// push takes the next byte and reports whether the object is complete.
func (o *object) push(b byte) bool {
	switch {
	case o.esc:
		o.esc = false
	case o.str && b == '\\':
		o.esc = true
	case b == '"':
		o.str = !o.str
	case o.str:
	case b == '{' || b == '[':
		o.depth++
	case b == '}' || b == ']':
		o.depth--
		return o.depth == 0
	}
	return false
}
