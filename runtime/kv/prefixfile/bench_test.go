package prefixfile

import (
	"testing"

	"aquifer/runtime/kv"
)

// BenchmarkFolder saves and restores 4096 tokens of the embedded model's size, on the disk of temporary files.
func BenchmarkFolder(b *testing.B) {
	const bytes, blocks = 32 * 23040, 4096 / kv.BlockSize
	f, err := Open(b.TempDir(), 1<<30)
	try(b, err)
	defer f.Close()
	k, c := kindOf("a"), newCache("a", blocks)
	k.Block = bytes
	s := c.source()
	s.Read = func(block int32, data []byte) error {
		for i := range data {
			data[i] = byte(int(block) + i)
		}
		return nil
	}
	s.Damaged = true // writes it each time
	b.Run("save", func(b *testing.B) {
		b.SetBytes(bytes * blocks)
		for b.Loop() {
			_, err := f.Save(b.Context(), k, s)
			try(b, err)
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(bytes * blocks)
		for b.Loop() {
			r, err := f.Restore(b.Context(), k, func(kv.Content, []byte) (bool, error) { return true, nil })
			if err != nil || r.Blocks != blocks {
				b.Fatalf("%+v, %v", r, err)
			}
		}
	})
}
