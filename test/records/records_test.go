package records

import "testing"

// The check must notice what a crash could do.
func TestCheck(t *testing.T) {
	for file := range 12 {
		var all []byte
		for i := range Count(file) {
			r := Record(file, i)
			if len(r) < head || len(r) > MaxSize {
				t.Fatalf("file %d, record %d: %d bytes", file, i, len(r))
			}
			all = append(all, r...)
			if c, err := Check(all); err != nil || c.File != file || c.Records != i+1 || c.Torn != 0 || c.Whole != (i == Count(file)-1) {
				t.Errorf("file %d after record %d: %+v, %v", file, i, c, err)
			}
			cut := all[:len(all)-1]
			if c, err := Check(cut); err != nil || c.Records != i || c.Torn != len(r)-1 || c.Whole {
				t.Errorf("file %d, one byte short in record %d: %+v, %v", file, i, c, err)
			}
			for _, at := range []int{0, 5, len(r) / 2, len(r) - 1} {
				all[len(all)-len(r)+at] ^= 1
				if c, err := Check(all); err == nil && c.File == file {
					t.Errorf("file %d, byte %d of record %d is wrong, and nobody noticed", file, at, i)
				}
				all[len(all)-len(r)+at] ^= 1
			}
		}
		if _, err := Check(append(all, 0)); err == nil {
			t.Errorf("file %d: a byte after the end was not noticed", file)
		}
	}
	if c, err := Check(nil); err != nil || c.Records != 0 || c.Whole {
		t.Errorf("nothing: %+v, %v", c, err)
	}
}
