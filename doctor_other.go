//go:build !linux

package agentos

// attemptMain does nothing: there are no native programs to try things.
func attemptMain() {}

func (k *Kernel) nativeAttempts(d *Diagnosis) {
	d.add("native", false, false, errNoNative.Error(), "")
}
