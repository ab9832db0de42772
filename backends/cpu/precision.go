package cpu

// AutoIsExact reports whether backends.Auto computes as backends.Exact does at a level: whether it has no fast arithmetic
// that was shown to keep perplexity (tables, auto_tokens and panel16 of csrc/level_*.c).
func AutoIsExact(level string) bool { return level != "avx2" && level != "avx512" }
