package abi

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"

	"aquifer/runtime/plan"
)

// Functions are the addresses of a library's functions.
type Functions struct {
	Abi, Open, Close, Info, Compile, ProgramFree, Write, Run, Read, Copy, BlockRead, BlockWrite, Kernel, LastError uintptr
}

// Load looks the functions up with find and refuses a library that was built from another interface.
func Load(find func(name string) (uintptr, error)) (*Functions, Info, error) {
	f := &Functions{}
	for _, s := range []struct {
		name string
		to   *uintptr
	}{
		{"aq_abi", &f.Abi},
		{"aq_open", &f.Open},
		{"aq_close", &f.Close},
		{"aq_info", &f.Info},
		{"aq_compile", &f.Compile},
		{"aq_program_free", &f.ProgramFree},
		{"aq_write", &f.Write},
		{"aq_run", &f.Run},
		{"aq_read", &f.Read},
		{"aq_copy", &f.Copy},
		{"aq_block_read", &f.BlockRead},
		{"aq_block_write", &f.BlockWrite},
		{"aq_kernel", &f.Kernel},
		{"aq_last_error", &f.LastError},
	} {
		var err error
		if *s.to, err = find(s.name); err != nil {
			return nil, Info{}, fmt.Errorf("abi: %w", err)
		}
	}
	info := &Info{Size: uint32(unsafe.Sizeof(Info{}))}
	if status := Call(f.Abi, unsafe.Pointer(info)); status != OK {
		return nil, Info{}, fmt.Errorf("abi: aq_abi fails with status %d: the library has another interface", status)
	}
	return f, *info, info.check()
}

// structSizes are the sizes of the mirrors in the order of backend.h.
func structSizes() []uintptr {
	return []uintptr{
		unsafe.Sizeof(plan.Ref{}), unsafe.Sizeof(plan.Op{}), unsafe.Sizeof(Buffer{}), unsafe.Sizeof(Weight{}),
		unsafe.Sizeof(KVLayer{}), unsafe.Sizeof(Seq{}), unsafe.Sizeof(Info{}), unsafe.Sizeof(OpenArgs{}),
		unsafe.Sizeof(CloseArgs{}), unsafe.Sizeof(InfoArgs{}), unsafe.Sizeof(CompileArgs{}),
		unsafe.Sizeof(ProgramArgs{}), unsafe.Sizeof(WriteArgs{}), unsafe.Sizeof(RunArgs{}), unsafe.Sizeof(ReadArgs{}),
		unsafe.Sizeof(CopyArgs{}), unsafe.Sizeof(BlockArgs{}), unsafe.Sizeof(KernelArgs{}), unsafe.Sizeof(Error{}),
	}
}

func (i *Info) check() error {
	if i.Version != Version {
		return fmt.Errorf("abi: library has interface version %d, need %d", i.Version, Version)
	}
	if i.OpHash != OpHash() {
		return fmt.Errorf("abi: library %s was built for another set of ops", Text(i.BuildID[:]))
	}
	sizes := structSizes()
	if int(i.Structs) != len(sizes) {
		return fmt.Errorf("abi: library has %d structs, need %d", i.Structs, len(sizes))
	}
	for n, size := range sizes {
		if uintptr(i.StructSizes[n]) != size {
			return fmt.Errorf("abi: struct %d of backend.h has %d bytes in the library, need %d", n, i.StructSizes[n], size)
		}
	}
	return nil
}

// Call calls one of the functions. args points to its struct, on the heap.
func Call(fn uintptr, args unsafe.Pointer) Status {
	status, _, _ := purego.SyscallN(fn, uintptr(args))
	return Status(int32(status))
}
