/* SPDX-License-Identifier: MIT */
/* exhaust.h - no memory, for a while. Not under AddressSanitizer, which takes its own. */
#ifndef SHMBUS_TESTS_EXHAUST_H
#define SHMBUS_TESTS_EXHAUST_H

#include <stdlib.h>
#include <sys/resource.h>

struct block {
	struct block *next;
};

/* Takes all memory there is, so that the next allocation fails; memory_return() gives it back. */
static inline struct block *memory_exhaust(void)
{
	struct block *blocks = NULL;
	struct block *block;
	struct rlimit limit;
	size_t size;

	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = 0;
	setrlimit(RLIMIT_AS, &limit);
	for (size = 1 << 20; size >= sizeof *block; size /= 2) {
		while ((block = malloc(size)) != NULL) {
			block->next = blocks;
			blocks = block;
		}
	}
	return blocks;
}

static inline void memory_return(struct block *blocks)
{
	struct rlimit limit;

	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_AS, &limit);
	while (blocks != NULL) {
		struct block *next = blocks->next;

		free(blocks);
		blocks = next;
	}
}

#endif /* SHMBUS_TESTS_EXHAUST_H */
