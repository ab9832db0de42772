package cpu

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// coreRelation is SYSTEM_LOGICAL_PROCESSOR_INFORMATION of winnt.h; its union has 16 bytes.
type coreRelation struct {
	Mask     uintptr // of the logical processors that are part of it
	Relation uint32  // 0: they share a core
	_        [16]byte
}

// physicalCores counts the cores behind the processors of our affinity mask; 0 if unknown. It sees one processor group,
// as programs do that don't ask for others: 64 logical processors.
func physicalCores() int {
	kernel32 := windows.NewLazySystemDLL("kernel32.dll")
	ask, affinity := kernel32.NewProc("GetLogicalProcessorInformation"), kernel32.NewProc("GetProcessAffinityMask")
	if ask.Find() != nil || affinity.Find() != nil {
		return 0
	}
	var ours, system uintptr
	if ok, _, _ := affinity.Call(uintptr(windows.CurrentProcess()), uintptr(unsafe.Pointer(&ours)), uintptr(unsafe.Pointer(&system))); ok == 0 {
		return 0
	}
	all := make([]coreRelation, 4096)
	size := uint32(len(all)) * uint32(unsafe.Sizeof(all[0]))
	if ok, _, _ := ask.Call(uintptr(unsafe.Pointer(&all[0])), uintptr(unsafe.Pointer(&size))); ok == 0 {
		return 0
	}
	return countRelations(all[:size/uint32(unsafe.Sizeof(all[0]))], ours)
}

func countRelations(all []coreRelation, ours uintptr) int {
	cores := 0
	for _, r := range all {
		if r.Relation == 0 && r.Mask&ours != 0 {
			cores++
		}
	}
	return cores
}

// cpuQuota returns 0: the rates of job objects are not looked at.
func cpuQuota() float64 { return 0 }
