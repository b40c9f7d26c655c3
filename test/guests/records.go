package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/agentos-kernel/agentos/test/records"
)

// writeRecords writes file after file, from the given number on, until it is
// killed: each record by one write, then a sync, then the file gets its name. What
// has returned is said on standard output.
func writeRecords(a []string) error {
	file, err := strconv.Atoi(a[1])
	if err != nil {
		return err
	}
	for ; ; file++ {
		tmp := filepath.Join(a[0], records.Temporary)
		f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		for i := range records.Count(file) {
			if _, err := f.Write(records.Record(file, i)); err != nil {
				return err
			}
			fmt.Printf("wrote %d %d\n", file, i)
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		if err := os.Rename(tmp, filepath.Join(a[0], records.Final(file))); err != nil {
			return err
		}
		fmt.Printf("named %d %d\n", file, records.Count(file))
	}
}
