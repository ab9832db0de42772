package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"aquifer/models/checkpoint"
	"aquifer/models/convert"
	"aquifer/runtime/plan"
)

func (a *app) convertCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "convert FOLDER OUT.gguf",
		Short: "Put a checkpoint folder into one GGUF file",
		Long: "convert writes a checkpoint folder as one GGUF file: codes, codebooks and scales as they are, tokenizer,\n" +
			"chat template and licence inside. The file appears when it is complete.",
		Example: "  aquifer convert ./Llama-3.2-1B-Instruct-AQLM llama-3.2-1b.gguf",
	}
	a.completeModels(cmd, 1, stored)
	addKnobs(cmd, []string{"embedding", "force"})
	embeddings := map[string]plan.DType{"f16": plan.F16, "q8_0": plan.Q8_0}
	return command(cmd, 2, 2, func(s settings, args []string) error {
		return a.convert(args[0], args[1], embeddings[s.str("embedding")], s.boolean("force"))
	})
}

func (a *app) convert(from, to string, embedding plan.DType, force bool) (err error) {
	if _, err := os.Lstat(to); err == nil && !force {
		return advise(fmt.Errorf("%s exists", to), "choose another name, or replace it with --force")
	}
	ck, err := a.openCheckpoint(from)
	if err != nil {
		return err
	}
	defer ck.Close()
	if _, err := buildModel(ck); err != nil {
		return err // a file that nothing could run
	}
	file, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+".*")
	if err != nil {
		return advise(err, "choose a folder that exists and can be written to")
	}
	ctx, stop := interruptible()
	defer stop()
	defer func() {
		file.Close()
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	bar := newProgress(a.err, "converting", true)
	err = convert.Write(file, ck, convert.Options{Embedding: embedding, Progress: bar.set})
	bar.end()
	if err := ctx.Err(); err != nil {
		return errInterrupted
	}
	if err != nil {
		return advise(err, "if the disk is full make room; aquifer show %s checks the checkpoint", from)
	}
	if err := ck.Unchanged(); err != nil {
		return advise(err, "convert again when nothing writes to it")
	}
	return a.finish(file, to, ck)
}

// finish gives the complete file its name.
func (a *app) finish(file *os.File, to string, ck *checkpoint.Checkpoint) error {
	info, err := file.Stat()
	if err == nil {
		err = errors.Join(file.Chmod(0o644), file.Sync(), file.Close(), os.Rename(file.Name(), to))
	}
	if err != nil {
		return advise(err, "check the disk and convert again")
	}
	a.tell("%s: %s from %s of tensors; try it: aquifer run %s \"Hello\"", to, size(info.Size()), size(ck.Size), to)
	return nil
}
