/* SPDX-License-Identifier: MIT */
/*
 * memory.c - preloaded into a program: of the allocations that the program itself makes, not its
 * libraries, that with the number in $SHMBUS_TEST_MEMORY fails, and a line on standard error says
 * so.
 */
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define SAID "an allocation was made to fail\n"

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

static uintptr_t code_start, code_end;
static long left; /* 0: none fails */
static _Atomic long made;

/* Where the program's code lies. */
static void code_find(void)
{
	const ElfW(Phdr) *header = (const void *)getauxval(AT_PHDR);
	uint64_t count = getauxval(AT_PHNUM);
	uintptr_t base = 0;

	for (uint64_t i = 0; i < count; i++)
		if (header[i].p_type == PT_PHDR)
			base = (uintptr_t)header - header[i].p_vaddr;
	for (uint64_t i = 0; i < count; i++) {
		if (header[i].p_type == PT_LOAD && (header[i].p_flags & PF_X)) {
			code_start = base + header[i].p_vaddr;
			code_end = code_start + header[i].p_memsz;
		}
	}
}

__attribute__((constructor)) static void memory_begin(void)
{
	const char *number = getenv("SHMBUS_TEST_MEMORY");

	code_find();
	left = number != NULL ? strtol(number, NULL, 10) : 0;
}

static int fails(const void *caller)
{
	if (left == 0 || (uintptr_t)caller < code_start || (uintptr_t)caller >= code_end ||
	    atomic_fetch_add_explicit(&made, 1, memory_order_relaxed) + 1 != left)
		return 0;
	if (write(STDERR_FILENO, SAID, sizeof SAID - 1) < 0)
		abort();
	errno = ENOMEM;
	return 1;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *memory, size_t size)
{
	return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, size);
}
