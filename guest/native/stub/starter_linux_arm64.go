package stub

// starterProgram is the code of the starter, position-independent but for its buffer.
const starterProgram = "" +
	"\x13\x00\xa4\xd2" + // mov x19, #536870912

	// again:
	"\x14\x00\x80\xd2" + // mov x20, #0
	"\x15\x01\x80\xd2" + // mov x21, #8

	// fill:
	"\x60\x00\x80\xd2" + // mov x0, #3
	"\x61\x02\x14\x8b" + // add x1, x19, x20
	"\xa2\x02\x14\xcb" + // sub x2, x21, x20
	"\xe8\x07\x80\xd2" + // mov x8, #63
	"\x01\x00\x00\xd4" + // svc #0
	"\x1f\x00\x00\xf1" + // cmp x0, #0
	"\x2d\x04\x00\x54" + // b.le die
	"\x94\x02\x00\x8b" + // add x20, x20, x0
	"\x9f\x02\x15\xeb" + // cmp x20, x21
	"\xe3\xfe\xff\x54" + // b.lo fill
	"\xbf\x22\x00\xf1" + // cmp x21, #8
	"\xa1\x00\x00\x54" + // b.ne run
	"\x75\x02\x40\xf9" + // ldr x21, [x19]
	"\xbf\x42\x00\xf1" + // cmp x21, #16
	"\x42\xfe\xff\x54" + // b.hs fill
	"\x18\x00\x00\x14" + // b die

	// run:
	"\x76\x06\x40\xf9" + // ldr x22, [x19, #8]
	"\x77\x42\x00\x91" + // add x23, x19, #16
	"\x18\x00\x80\xd2" + // mov x24, #0

	// next:
	"\x1f\x03\x16\xeb" + // cmp x24, x22
	"\x42\xfd\xff\x54" + // b.hs again
	"\xe8\x02\x40\xb9" + // ldr w8, [x23]
	"\xe0\x86\x40\xa9" + // ldp x0, x1, [x23, #8]
	"\xe2\x8e\x41\xa9" + // ldp x2, x3, [x23, #24]
	"\xe4\x96\x42\xa9" + // ldp x4, x5, [x23, #40]
	"\x01\x00\x00\xd4" + // svc #0
	"\x1f\xfc\x3f\xb1" + // cmn x0, #4095
	"\x63\x00\x00\x54" + // b.lo good
	"\xe1\x06\x40\xb9" + // ldr w1, [x23, #4]
	"\x81\x00\x00\x34" + // cbz w1, fail

	// good:
	"\xf7\xe2\x00\x91" + // add x23, x23, #56
	"\x18\x07\x00\x91" + // add x24, x24, #1
	"\xf3\xff\xff\x17" + // b next

	// fail:
	"\x78\x02\x00\xa9" + // stp x24, x0, [x19]
	"\x60\x00\x80\xd2" + // mov x0, #3
	"\xe1\x03\x13\xaa" + // mov x1, x19
	"\x02\x02\x80\xd2" + // mov x2, #16
	"\x08\x08\x80\xd2" + // mov x8, #64
	"\x01\x00\x00\xd4" + // svc #0

	// die:
	"\xe0\x0f\x80\xd2" + // mov x0, #127
	"\xc8\x0b\x80\xd2" + // mov x8, #94
	"\x01\x00\x00\xd4" + // svc #0
	""
