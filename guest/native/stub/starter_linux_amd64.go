package stub

// starterProgram is the code of the starter, position-independent but for its buffer.
const starterProgram = "" +
	"\xbd\x00\x00\x00\x20" + // mov ebp,0x20000000

	// again:
	"\x31\xdb" + // xor ebx,ebx
	"\x41\xbc\x08\x00\x00\x00" + // mov r12d,0x8

	// fill:
	"\x31\xc0" + // xor eax,eax
	"\xbf\x03\x00\x00\x00" + // mov edi,0x3
	"\x48\x8d\x74\x1d\x00" + // lea rsi,[rbp+rbx*1+0x0]
	"\x4c\x89\xe2" + // mov rdx,r12
	"\x48\x29\xda" + // sub rdx,rbx
	"\x0f\x05" + // syscall
	"\x48\x85\xc0" + // test rax,rax
	"\x7e\x7b" + // jle die
	"\x48\x01\xc3" + // add rbx,rax
	"\x4c\x39\xe3" + // cmp rbx,r12
	"\x72\xdf" + // jb fill
	"\x49\x83\xfc\x08" + // cmp r12,0x8
	"\x75\x0c" + // jne run
	"\x4c\x8b\x65\x00" + // mov r12,[rbp+0x0]
	"\x49\x83\xfc\x10" + // cmp r12,0x10
	"\x73\xcf" + // jae fill
	"\xeb\x61" + // jmp die

	// run:
	"\x4c\x8b\x6d\x08" + // mov r13,[rbp+0x8]
	"\x4c\x8d\x75\x10" + // lea r14,[rbp+0x10]
	"\x45\x31\xff" + // xor r15d,r15d

	// next:
	"\x4d\x39\xef" + // cmp r15,r13
	"\x73\xb5" + // jae again
	"\x41\x8b\x06" + // mov eax,[r14]
	"\x49\x8b\x7e\x08" + // mov rdi,[r14+0x8]
	"\x49\x8b\x76\x10" + // mov rsi,[r14+0x10]
	"\x49\x8b\x56\x18" + // mov rdx,[r14+0x18]
	"\x4d\x8b\x56\x20" + // mov r10,[r14+0x20]
	"\x4d\x8b\x46\x28" + // mov r8,[r14+0x28]
	"\x4d\x8b\x4e\x30" + // mov r9,[r14+0x30]
	"\x0f\x05" + // syscall
	"\x48\x3d\x01\xf0\xff\xff" + // cmp rax,0xfffffffffffff001
	"\x72\x07" + // jb good
	"\x41\x83\x7e\x04\x00" + // cmp [r14+0x4],0x0
	"\x74\x09" + // je fail

	// good:
	"\x49\x83\xc6\x38" + // add r14,0x38
	"\x49\xff\xc7" + // inc r15
	"\xeb\xc6" + // jmp next

	// fail:
	"\x4c\x89\x7d\x00" + // mov [rbp+0x0],r15
	"\x48\x89\x45\x08" + // mov [rbp+0x8],rax
	"\xbf\x03\x00\x00\x00" + // mov edi,0x3
	"\x48\x89\xee" + // mov rsi,rbp
	"\xba\x10\x00\x00\x00" + // mov edx,0x10
	"\xb8\x01\x00\x00\x00" + // mov eax,0x1
	"\x0f\x05" + // syscall

	// die:
	"\xbf\x7f\x00\x00\x00" + // mov edi,0x7f
	"\xb8\xe7\x00\x00\x00" + // mov eax,0xe7
	"\x0f\x05" + // syscall
	""
