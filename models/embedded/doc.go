// Package embedded carries the model that answers when none is named, as one GGUF file in data/. The build tag nomodel
// leaves it out. It imports nothing of ours.
package embedded
