package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"
	"github.com/spf13/cobra"

	"aquifer/backends"
	"aquifer/backends/cpu"
	"aquifer/backends/ref"
	"aquifer/models/embedded"
)

// diagnosis is what doctor finds; its JSON form is for bug reports.
type diagnosis struct {
	Version   string          `json:"version"`
	Platform  string          `json:"platform"`
	CPU       string          `json:"cpu"`
	Cores     int             `json:"physical_cores,omitempty"`
	Logical   int             `json:"logical_cores"`
	Usable    int             `json:"usable_cores"` // by affinity and quota, as the Go scheduler sees them
	Threads   int             `json:"default_threads"`
	Memory    int64           `json:"memory_bytes,omitempty"`
	Available int64           `json:"memory_available_bytes,omitempty"`
	Backends  []backendReport `json:"backends"`
	Levels    []levelReport   `json:"levels"`
	Chosen    string          `json:"chosen"`
	Level     string          `json:"level"`
	Model     string          `json:"embedded_model,omitempty"`
	Compiled  string          `json:"kernels_of,omitempty"` // the model that the kernels are for, and how it would run
	Kernels   []kernelReport  `json:"kernels,omitempty"`
	Store     storeReport     `json:"store"`
	Prefixes  *prefixReport   `json:"prefix_cache,omitempty"`
	Hub       hubReport       `json:"hub"`
	Features  []string        `json:"cpu_features"`
}

type backendReport struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Level   string `json:"level,omitempty"`
	BuildID string `json:"build_id,omitempty"`
	Why     string `json:"why,omitempty"`
}

type levelReport struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Why  string `json:"why,omitempty"`
}

func (a *app) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [MODEL]",
		Short: "Tell what this machine has and which backend will run",
		Long: "doctor prints the processor, its levels, the memory, which backend aquifer takes here and why not the others,\n" +
			"the state of the store and of a prefix cache, and whether the hub can be reached. With MODEL, or with -v for the embedded one, it also says which kernel multiplies the\n" +
			"matrices of each shape and encoding, and when it is chosen; aquifer bench --kernels tells how fast those are.",
		Example: "  aquifer doctor -v\n  aquifer doctor ./Llama-3.2-1B-Instruct-AQLM --level avx2",
	}
	a.completeModels(cmd, 1, stored)
	addKnobs(cmd, []string{"verbose", "json", "backend", "level", "threads", "precision", "head", "endpoint", "prefix-cache"})
	return command(cmd, 0, 1, func(s settings, args []string) error {
		d := diagnose()
		d.Store, d.Prefixes, d.Hub = diagnoseStore(), diagnosePrefixes(s), diagnoseHub(s)
		if path := argument(args); path != "" || s.boolean("verbose") && d.Model != "" {
			var err error
			if d.Compiled, d.Kernels, err = a.reportKernels(s, path); err != nil {
				return err
			}
		}
		if s.boolean("json") {
			enc := json.NewEncoder(a.out)
			enc.SetIndent("", "  ")
			return enc.Encode(d)
		}
		return d.print(a.out, s.boolean("verbose"))
	})
}

func diagnose() diagnosis {
	d := diagnosis{
		Version: version, Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CPU: cpuid.CPU.BrandName, Cores: cpuid.CPU.PhysicalCores, Logical: runtime.NumCPU(),
		Usable: runtime.GOMAXPROCS(0), Threads: cpu.DefaultThreads(), Features: cpuid.CPU.FeatureSet(),
	}
	d.Memory, d.Available = memory()
	for _, l := range cpu.Levels() {
		d.Levels = append(d.Levels, levelReport{l.Name, l.OK, l.Why})
	}
	c, err := cpu.Open(cpu.Config{})
	if d.CPU == "" && err == nil {
		d.CPU = c.Info().Device
	}
	if d.CPU == "" {
		d.CPU = "unknown"
	}
	d.Backends = append(d.Backends, reportBackend("cpu", c, err), reportBackend("ref", ref.New(1), nil))
	for _, b := range d.Backends {
		if b.OK {
			d.Chosen, d.Level = b.Name, b.Level
			break
		}
	}
	if _, bytes, name, ok := embedded.Open(); ok {
		d.Model = fmt.Sprintf("%s, %s", name, size(bytes))
	}
	return d
}

func reportBackend(name string, b backends.Backend, err error) backendReport {
	if err != nil {
		return backendReport{Name: name, Why: err.Error()}
	}
	defer b.Close()
	info := b.Info()
	return backendReport{Name: name, OK: true, Level: info.Level, BuildID: info.BuildID}
}

func (d diagnosis) print(w io.Writer, verbose bool) error {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, oneLine(fmt.Sprintf(format, args...)))
	}
	row("version", "%s, %s", d.Version, d.Platform)
	row("processor", "%s", d.CPU)
	cores := fmt.Sprintf("%d logical, %d usable here", d.Logical, d.Usable)
	if d.Cores > 0 {
		cores = fmt.Sprintf("%d physical, %s", d.Cores, cores)
	}
	row("cores", "%s; default %s", cores, plural(d.Threads, "thread"))
	if d.Memory > 0 {
		row("memory", "%s, %s available", size(d.Memory), size(d.Available))
	}
	for _, l := range d.Levels {
		row("level", "%s: %s", l.Name, verdict(l.OK, l.Why))
	}
	for _, r := range d.Backends {
		why := r.Why
		if r.OK && r.Name != d.Chosen {
			why = "but slower than " + d.Chosen
		}
		row("backend", "%s: %s", r.Name, verdict(r.OK, why))
		if verbose && r.BuildID != "" {
			row("", "level %s, kernel library %s", r.Level, r.BuildID)
		}
	}
	row("chosen", "%s, level %s%s", d.Chosen, d.Level, d.whyLevel())
	if d.Model == "" {
		row("model", "none embedded")
	} else {
		row("model", "embedded: %s", d.Model)
	}
	for _, line := range d.Store.lines() {
		row("store", "%s", line)
	}
	for _, line := range d.Prefixes.lines() {
		row("prefixes", "%s", line)
	}
	row("hub", "%s", d.Hub)
	if verbose {
		row("features", "%s", strings.Join(d.Features, " "))
	}
	if d.Compiled != "" {
		row("kernels", "%s", d.Compiled)
	}
	for _, k := range d.Kernels {
		fmt.Fprintf(&b, "%14d x %-12s %s\n", k.Count, fmt.Sprintf("%dx%d", k.Rows, k.Cols), strings.Trim(k.Kernel+": "+k.Why, ": "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// whyLevel says why the chosen backend runs on its level and not on the next.
func (d diagnosis) whyLevel() string {
	i := slices.IndexFunc(d.Levels, func(l levelReport) bool { return l.Name == d.Level })
	switch {
	case i < 0:
		return ""
	case i == len(d.Levels)-1:
		return ", the highest there is"
	}
	return fmt.Sprintf(": %s %s", d.Levels[i+1].Name, d.Levels[i+1].Why)
}

func verdict(ok bool, why string) string {
	switch {
	case ok && why != "":
		return "yes, " + why
	case ok:
		return "yes"
	}
	return "no: " + why
}

// memory returns the machine's memory and how much of it could be used now, in bytes; 0 where it is not known.
func memory() (total, available int64) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			available = kib << 10
		}
	}
	return total, available
}
