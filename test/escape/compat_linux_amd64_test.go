package escape

// compat says that the processor has the door of 32-bit programs, so that the
// list of attempts is whole.
const compat = true
