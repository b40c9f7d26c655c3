package rewrite

// What a module may hold. The numbers are those of the web's embedding where it
// has any, or lower where the engine pays more for an item than a file does.
const (
	maxModuleBytes   = 1 << 30
	maxTypes         = 100_000
	maxImports       = 10_000
	maxFunctions     = 1_000_000
	maxGlobals       = 100_000
	maxExports       = 200_000
	maxTables        = 64
	maxElements      = 100_000
	maxElementInits  = 1 << 20 // in all element segments together
	maxDataSegments  = 200_000
	maxParams        = 1000
	maxResults       = 1000
	maxLocals        = 50_000
	maxAllLocals     = 4 << 20 // in all functions together: the engine keeps 8 bytes each
	maxBodyBytes     = 7_654_321
	maxBranchTargets = 65_520
	maxNesting       = 50_000
	maxNameBytes     = 100_000

	// defaultMemoryPages is 65,535 and not 65,536 because the engine's memory
	// size in bytes is a uint32 that reads 0 for a memory of 4 GiB.
	defaultMemoryPages  = 65_535
	defaultTableEntries = 1 << 18
	defaultDataBytes    = 256 << 20

	pageBytes = 65_536

	// UncountedStack bounds what frames that do not count their depth can take
	// together, in bytes and by the estimate of frame.
	UncountedStack = 64 << 10

	// weightPerFuel is how much straight-line work one unit of fuel covers.
	weightPerFuel = 128
	// frameBytesPerFuel makes the entry of a function with a large frame dearer,
	// so that the stack cannot grow much in one slice.
	frameBytesPerFuel = 256
	// leafWeight is the most that a function without calls and loops may weigh
	// and still run uncharged; shapes weighs each call as half of it.
	leafWeight = 64

	// A bulk instruction on memory moves at most bulkBytes a step and costs one
	// fuel for every bulkBytesPerFuel; one on a table, bulkEntries. The prices,
	// powers of two, are about what a loop that does the same would pay for the
	// same time.
	bulkBytes          = 64 << 10
	bulkBytesPerFuel   = 64
	bulkEntries        = 4 << 10
	bulkEntriesPerFuel = 4
	// inlineBytes is the most that a bulk instruction whose length is a constant
	// may move and still stay as it is.
	inlineBytes = 4 << 10
)
