package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"testing"
)

// FuzzSafetensors wants every refusal to be typed and every accepted file to be one that encoding/json reads as well,
// with the same tensors, whose bytes cover the data exactly once.
func FuzzSafetensors(f *testing.F) {
	f.Add([]byte(one("I8", "[2]", "[0,2]")), 2)
	f.Add([]byte(`{"__metadata__":{"a":"\u00e9"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"F16","shape":[0],"data_offsets":[4,4]}}`), 4)
	f.Add([]byte(`{"t":{"dtype":"F16","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`), 0)
	f.Add([]byte(`{"t":{"dtype":"F4","shape":[2,3],"data_offsets":[0,3]},"t":{}}`), 3)
	f.Add([]byte(`{"\ud83d\ude00":{"dtype":"BOOL","shape":[1,1],"data_offsets":[0,1]}} `), 1)
	f.Fuzz(func(t *testing.T, header []byte, n int) {
		if n < 0 || n > 1<<16 {
			return
		}
		b := file(string(header), n)
		got, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if bad := (*FormatError)(nil); !errors.As(err, &bad) || bad.Off < 0 {
				t.Fatalf("error %#v", err)
			}
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(header, &want); err != nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		delete(want, "__metadata__")
		if len(want) != len(got.Tensors) {
			t.Fatalf("%d tensors, want %d", len(got.Tensors), len(want))
		}
		end := int64(8 + len(header))
		for _, x := range got.Tensors {
			var info struct {
				DType string     `json:"dtype"`
				Shape []*big.Int `json:"shape"`
				Span  []int64    `json:"data_offsets"`
			}
			if err := json.Unmarshal(want[x.Name], &info); err != nil {
				t.Fatal(err)
			}
			bits, _ := dtypeBits(info.DType)
			size := new(big.Int).SetUint64(bits)
			for _, d := range info.Shape {
				size.Mul(size, d)
			}
			if size.Cmp(big.NewInt(8*x.Size)) != 0 || x.Offset != end || x.Offset != info.Span[0]+int64(8+len(header)) {
				t.Fatalf("%+v of %+v at %d", x, info, end)
			}
			end += x.Size
		}
		if end != int64(len(b)) {
			t.Fatalf("tensors end at %d of %d", end, len(b))
		}
	})
}
