// This file is empty. Its presence lets the compiler accept the bodiless
// functions of pin_unsafe.go on every architecture.
