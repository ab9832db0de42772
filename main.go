// Command aquifer runs AQLM-compressed language models on this machine. All of it is in runtime/cli.
package main

import (
	"os"

	"aquifer/runtime/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
