/* SPDX-License-Identifier: MIT */
/* fetch.h - a hint to the processor that something will be looked at. */
#ifndef SHMBUS_AGENT_FETCH_H
#define SHMBUS_AGENT_FETCH_H

#include <stddef.h>

#include <shmbus/layout.h>

/* With a size of 0 it may be NULL. */
static inline void fetch_lines(const void *bytes, size_t size)
{
	for (size_t at = 0; at < size; at += SHMBUS_LINE_SIZE)
		__builtin_prefetch((const char *)bytes + at);
}

#endif /* SHMBUS_AGENT_FETCH_H */
