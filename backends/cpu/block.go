//go:build ((linux || darwin) && (amd64 || arm64)) || (windows && amd64)

package cpu

import (
	"fmt"
	"runtime"
	"unsafe"

	"aquifer/backends"
	"aquifer/backends/abi"
	"aquifer/runtime/plan"
)

// blockLayout is that of csrc/k_kv.h, which all levels and architectures share.
func blockLayout(p *plan.Plan, o backends.Options, bytes int64) backends.BlockLayout {
	return backends.NewBlockLayout(fmt.Sprintf("cpu/%d", abi.KVLayout), o.KV, p.Layers, int(bytes))
}

// CopyBlock copies a KV block.
func (p *program) CopyBlock(dst, src int) error {
	if p.handle == 0 {
		return errClosed
	}
	if dst < 0 || dst >= p.opts.KVBlocks || src < 0 || src >= p.opts.KVBlocks {
		return fmt.Errorf("cpu: copy of KV block %d to %d of %d", src, dst, p.opts.KVBlocks)
	}
	args := &abi.CopyArgs{Size: uint32(unsafe.Sizeof(abi.CopyArgs{})), Dst: int32(dst), Src: int32(src), Program: p.handle}
	if status := abi.Call(p.b.fn.Copy, unsafe.Pointer(args)); status != abi.OK {
		return p.b.failure(status)
	}
	return nil
}

// BlockLayout describes a KV block.
func (p *program) BlockLayout() backends.BlockLayout { return p.layout }

// ReadBlock copies a KV block out.
func (p *program) ReadBlock(block int, data []byte) error {
	return p.moveBlock(p.b.fn.BlockRead, block, data)
}

// WriteBlock copies a KV block in.
func (p *program) WriteBlock(block int, data []byte) error {
	return p.moveBlock(p.b.fn.BlockWrite, block, data)
}

func (p *program) moveBlock(fn uintptr, block int, data []byte) error {
	if p.handle == 0 {
		return errClosed
	}
	if err := p.layout.CheckBlock(block, p.opts.KVBlocks, len(data)); err != nil || len(data) == 0 {
		return err
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	args := &abi.BlockArgs{
		Size: uint32(unsafe.Sizeof(abi.BlockArgs{})), Block: int32(block), Program: p.handle,
		Data: address(&pin, data), Bytes: int64(len(data)),
	}
	if status := abi.Call(fn, unsafe.Pointer(args)); status != abi.OK {
		return p.b.failure(status)
	}
	return nil
}
