package gguf

import (
	"encoding/binary"
	"errors"
	"math/big"
	"unicode/utf8"
)

// oracle decides whether a file is valid, on the whole file in memory and with unbounded integers. It shares nothing
// with the parser but the type table, the limits and the rules.
func oracle(file []byte) (err error) {
	o := &oracleReader{rest: file}
	defer func() {
		if r := recover(); r != nil {
			refused, ok := r.(oracleError)
			if !ok {
				panic(r)
			}
			err = errors.New(string(refused))
		}
	}()
	o.file(file)
	return nil
}

type (
	oracleError  string
	oracleReader struct {
		rest             []byte
		elements, arrays int64
	}
)

func (o *oracleReader) require(ok bool, msg string) {
	if !ok {
		panic(oracleError(msg))
	}
}

func (o *oracleReader) take(n *big.Int) []byte {
	o.require(n.Cmp(big.NewInt(int64(len(o.rest)))) <= 0, "file too short")
	p := o.rest[:n.Int64()]
	o.rest = o.rest[n.Int64():]
	return p
}

func (o *oracleReader) bytes(n int64) []byte { return o.take(big.NewInt(n)) }

func (o *oracleReader) u32() *big.Int {
	return new(big.Int).SetUint64(uint64(binary.LittleEndian.Uint32(o.bytes(4))))
}

func (o *oracleReader) u64() *big.Int {
	return new(big.Int).SetUint64(binary.LittleEndian.Uint64(o.bytes(8)))
}

// number reads a 64-bit count of at most limit.
func (o *oracleReader) number(limit int64) int64 {
	n := o.u64()
	o.require(n.Cmp(big.NewInt(limit)) <= 0, "over a limit")
	return n.Int64()
}

func (o *oracleReader) text(limit int64, name bool) string {
	s := string(o.bytes(o.number(limit)))
	if name {
		o.require(s != "" && utf8.ValidString(s), "bad name")
		for _, r := range s {
			o.require(r >= 0x20 && r != 0x7f, "control character")
		}
	}
	return s
}

func (o *oracleReader) value(t int64, limit int64, depth int) []byte {
	widths := []int64{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}
	o.require(t < int64(len(widths)), "unknown value type")
	switch t {
	case 8:
		return []byte(o.text(limit, false))
	case 9:
		o.require(depth < MaxArrayDepth, "too deep")
		elem := o.u32()
		o.require(elem.Cmp(big.NewInt(13)) < 0, "unknown element type")
		n := o.number(MaxArray)
		o.elements += n
		if depth > 0 {
			o.arrays++
		}
		o.require(o.elements <= MaxElements && o.arrays <= MaxArrays, "over a limit")
		for range n {
			o.value(elem.Int64(), MaxArrayString, depth+1)
		}
		return nil
	}
	p := o.bytes(widths[t])
	o.require(t != 7 || p[0] <= 1, "bad bool")
	return p
}

func (o *oracleReader) file(file []byte) {
	o.require(string(o.bytes(4)) == "GGUF", "magic")
	v := o.u32().Int64()
	o.require(v == 2 || v == 3, "version")
	tensors, keys := o.number(MaxTensors), o.number(MaxKeys)
	align := big.NewInt(32)
	seen := map[string]bool{}
	for range keys {
		key := o.text(MaxKeyLength, true)
		o.require(!seen[key], "duplicate key")
		seen[key] = true
		t := o.u32().Int64()
		p := o.value(t, MaxString, 0)
		if key == "general.alignment" {
			o.require(t == 4, "alignment type")
			a := binary.LittleEndian.Uint32(p)
			o.require(a >= 8 && a <= 1<<20 && a&(a-1) == 0, "alignment")
			align.SetUint64(uint64(a))
		}
	}
	type extent struct{ off, size *big.Int }
	var extents []extent
	names := map[string]bool{}
	for range tensors {
		name := o.text(MaxNameLength, true)
		o.require(!names[name], "duplicate tensor")
		names[name] = true
		rank := o.u32().Int64()
		o.require(rank >= 1 && rank <= 4, "rank")
		count, first := big.NewInt(1), (*big.Int)(nil)
		for range rank {
			d := o.u64()
			o.require(d.Sign() > 0 && d.IsInt64(), "dimension")
			if first == nil {
				first = d
			}
			count.Mul(count, d)
		}
		o.require(count.IsInt64(), "too many elements")
		elements, size := Type(uint32(o.u32().Int64())).Block()
		o.require(elements > 0, "element type")
		o.require(new(big.Int).Mod(first, big.NewInt(elements)).Sign() == 0, "no whole blocks")
		bytes := new(big.Int).Div(count, big.NewInt(elements))
		bytes.Mul(bytes, big.NewInt(size))
		extents = append(extents, extent{o.u64(), bytes})
	}
	up := func(n *big.Int) *big.Int {
		m := new(big.Int).Add(n, new(big.Int).Sub(align, big.NewInt(1)))
		return m.Sub(m, new(big.Int).Mod(m, align))
	}
	data := up(big.NewInt(int64(len(file) - len(o.rest))))
	end := new(big.Int)
	for _, e := range extents {
		o.require(e.off.Cmp(up(end)) == 0, "offset")
		end = new(big.Int).Add(e.off, e.size)
		o.require(new(big.Int).Add(data, end).Cmp(big.NewInt(int64(len(file)))) <= 0, "beyond the file")
	}
}
