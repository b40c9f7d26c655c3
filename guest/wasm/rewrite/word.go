package rewrite

// The budget word is one i64 global. Its high 36 bits, signed, are the fuel
// left; its low 28 bits are what is left of MaxDepth, in units of 16 bytes.
// Guest code subtracts from it and calls the yield import when it is negative:
// one test of the sign finds the end of the fuel, what a loop subtracts still
// fits into an instruction, and the host reads the depth whenever it is asked
// for more.
const (
	fuelShift = 28
	depthMask = uint64(1)<<fuelShift - 1
	depthUnit = 16 // bytes

	// MaxFuel is the largest fuel a word holds.
	MaxFuel = int64(1)<<(63-fuelShift) - 1

	// MaxDepth is the largest depth a word holds, in bytes, 4 GiB. A host must
	// end a guest well below it: at each yield, when Depth exceeds its limit.
	// Between two yields the depth grows by at most 256 bytes for each fuel of
	// the slice, and one frame.
	MaxDepth = depthMask * depthUnit

	// maxCost bounds one charge. Fuel is not negative before a charge.
	maxCost = 1 << 20
	// maxFrame bounds what one function adds to the depth.
	maxFrame = 64 << 20
)

// Names under which the additions are found. An original module that uses them
// is refused.
const (
	// ImportModule and ImportYield name the imported function, of type () -> (),
	// that a guest calls when its fuel is spent. It must refill the word.
	ImportModule = "agentos.rewrite"
	ImportYield  = "yield"
	// ExportBudget names the exported mutable i64 global that is the word.
	ExportBudget = "agentos.budget"
	// ExportStart names the start function when Options.StripStart is set.
	ExportStart = "agentos.start"
	// ExportGlobalPrefix, followed by a decimal index, names the mutable globals
	// when Options.ExportGlobals is set.
	ExportGlobalPrefix = "agentos.global."

	reservedPrefix = "agentos."
)

// Pack returns the word of an empty stack with the given fuel, which is clamped
// to 0..MaxFuel.
func Pack(fuel int64) uint64 { return Refill(depthMask, fuel) }

// Fuel returns the fuel left in a word. It is negative when a guest yields.
func Fuel(word uint64) int64 { return int64(word) >> fuelShift }

// Depth returns an estimate, in bytes, of the stack in use: the frames of all
// functions that count their depth. What is not counted is bounded by
// UncountedStack.
func Depth(word uint64) uint64 { return (depthMask - word&depthMask) * depthUnit }

// Refill returns word with its fuel replaced, clamped to 0..MaxFuel, and its
// depth kept.
func Refill(word uint64, fuel int64) uint64 {
	return uint64(min(max(fuel, 0), MaxFuel))<<fuelShift | word&depthMask
}
