package statedir

import "time"

// NewID makes a run id for a run that has no record, because there is no state
// directory. Like all run ids it sorts by time.
func NewID() string { return newRawID(time.Now()).String() }
