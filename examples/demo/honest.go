package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// document is what honest learns of one file.
type document struct {
	name  string
	title string
	lines int
	words int
	todo  []string // lines of the form "- [ ] …"
	table []column // of a CSV file
	size  int64
}

// column is one numeric column of a table.
type column struct {
	name          string
	rows          int
	sum, min, max float64
}

// honest does what a person might ask of a program they did not write: read a
// directory of notes and tables, and leave a summary. It reads under notes,
// writes report/index.md, and touches nothing else.
func honest(notes, report string, out io.Writer) error {
	var docs []document
	counts := make(map[string]int)
	err := fs.WalkDir(os.DirFS(notes), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.Type().IsRegular() {
			return nil
		}
		switch path.Ext(name) {
		case ".md", ".txt", ".csv":
		default:
			return nil
		}
		data, err := os.ReadFile(path.Join(notes, name))
		if err != nil {
			return err
		}
		d, err := read(name, data, counts)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		docs = append(docs, d)
		return nil
	})
	if err != nil {
		return err
	}
	index := render(docs, counts)
	target := path.Join(report, "index.md")
	if err := os.WriteFile(target, index, 0o644); err != nil {
		return err
	}
	words := 0
	for _, d := range docs {
		words += d.words
	}
	_, err = fmt.Fprintf(out, "read %d documents with %d words, wrote %s (%d bytes)\n", len(docs), words, target, len(index))
	return err
}

// read takes one document apart and adds its words to counts.
func read(name string, data []byte, counts map[string]int) (document, error) {
	d := document{name: name, title: name, size: int64(len(data))}
	if path.Ext(name) == ".csv" {
		return d, readTable(&d, data)
	}
	for line := range strings.Lines(string(data)) {
		d.lines++
		line = strings.TrimSpace(line)
		if d.title == name && strings.HasPrefix(line, "# ") {
			d.title = strings.TrimSpace(line[2:])
		}
		if rest, ok := strings.CutPrefix(line, "- [ ] "); ok {
			d.todo = append(d.todo, rest)
		}
		for _, w := range strings.FieldsFunc(line, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' }) {
			d.words++
			if w = strings.ToLower(w); len(w) > 3 {
				counts[w]++
			}
		}
	}
	return d, nil
}

// readTable sums up the numeric columns of a CSV file that has a header.
func readTable(d *document, data []byte) error {
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(rows) == 0 {
		return err
	}
	d.lines = len(rows)
	for i, head := range rows[0] {
		c := column{name: head}
		for _, row := range rows[1:] {
			v, err := strconv.ParseFloat(row[i], 64)
			if err != nil {
				c.rows = 0
				break
			}
			if c.rows == 0 {
				c.min, c.max = v, v
			}
			c.rows++
			c.sum += v
			c.min, c.max = min(c.min, v), max(c.max, v)
		}
		if c.rows > 0 {
			d.table = append(d.table, c)
		}
	}
	return nil
}

// render writes the index.
func render(docs []document, counts map[string]int) []byte {
	var b bytes.Buffer
	b.WriteString("# Index\n\n| document | title | lines | words | bytes |\n|---|---|---:|---:|---:|\n")
	for _, d := range docs {
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d |\n", d.name, d.title, d.lines, d.words, d.size)
	}
	b.WriteString("\n## Most frequent words\n\n")
	words := make([]string, 0, len(counts))
	for w := range counts {
		words = append(words, w)
	}
	slices.SortFunc(words, func(x, y string) int {
		if counts[x] != counts[y] {
			return counts[y] - counts[x]
		}
		return strings.Compare(x, y)
	})
	for _, w := range words[:min(8, len(words))] {
		fmt.Fprintf(&b, "- %s: %d\n", w, counts[w])
	}
	b.WriteString("\n## Open tasks\n\n")
	for _, d := range docs {
		for _, t := range d.todo {
			fmt.Fprintf(&b, "- %s (%s)\n", t, d.name)
		}
	}
	b.WriteString("\n## Tables\n\n")
	for _, d := range docs {
		for _, c := range d.table {
			fmt.Fprintf(&b, "- %s, %s: %d rows, sum %.2f, least %.2f, greatest %.2f, mean %.2f\n",
				d.name, c.name, c.rows, c.sum, c.min, c.max, c.sum/float64(c.rows))
		}
	}
	return b.Bytes()
}
