package backends

import (
	"fmt"
	"strings"

	"aquifer/runtime/plan"
)

// BlockLayout describes the bytes of a KV block. Programs with equal layouts may exchange blocks: the bytes lie alike in
// them. Whether they mean the same, which takes the same weights, is for the caller to know.
type BlockLayout struct {
	Name  string // who laid them out and in which version, the KV type, and the layers
	Bytes int    // of a block
}

// NewBlockLayout names the layout of a KV cache of one type and some layers. by stands for a backend and the version of
// its layout.
func NewBlockLayout(by string, kv plan.DType, layers []plan.KVLayer, bytes int) BlockLayout {
	var name strings.Builder
	fmt.Fprintf(&name, "%s %s", by, kv)
	for i := 0; i < len(layers); {
		same := 1
		for i+same < len(layers) && layers[i+same] == layers[i] {
			same++
		}
		fmt.Fprintf(&name, " %dx%dx%d", same, layers[i].Heads, layers[i].Dim)
		i += same
	}
	return BlockLayout{Name: name.String(), Bytes: bytes}
}

// CheckBlock verifies the arguments of ReadBlock and WriteBlock: the number of a block, of so many, and a length in bytes.
func (l BlockLayout) CheckBlock(block, blocks, bytes int) error {
	if block < 0 || block >= blocks {
		return fmt.Errorf("backends: KV block %d of %d", block, blocks)
	}
	if bytes != l.Bytes {
		return fmt.Errorf("backends: %d bytes for a KV block of %d", bytes, l.Bytes)
	}
	return nil
}
