/* SPDX-License-Identifier: MIT */
/*
 * heap.h - malloc()'s memory in huge pages, once it is large.
 *
 * What the agent holds of a thousand sessions is more than a hundred megabytes in small pieces, and
 * a publication comes by most of them. In small pages the processor spends half of that time on
 * looking up addresses, and a restart a third of its own on faults. Where the kernel has no huge
 * pages to give, it is slower and no different.
 */
#ifndef SHMBUS_AGENT_HEAP_H
#define SHMBUS_AGENT_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* Before there is a second thread. */
void heap_begin(void);

/* So much will be needed soon: the heap grows at once, and with `now` the kernel gives the memory
 * now rather than then. Where there is not so much, it grows when it has to. */
void heap_expect(size_t bytes, bool now);

/* What was expected has come: what was too much may go back to the kernel. */
void heap_settle(void);

/* After something that lasts was allocated: costs next to nothing where the heap has not grown. One
 * thread at a time. */
void heap_look(void);

#endif /* SHMBUS_AGENT_HEAP_H */
