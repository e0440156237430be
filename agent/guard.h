/* SPDX-License-Identifier: MIT */
/*
 * guard.h - touch memory that its owner may truncate under us. A mapping of a file that was cut
 * short raises SIGBUS; inside guard_run() that ends the callback and nothing else.
 */
#ifndef SHMBUS_AGENT_GUARD_H
#define SHMBUS_AGENT_GUARD_H

#include <stdbool.h>

/* Installs the SIGBUS handler; once, before any thread starts. Returns 0 or -errno. */
int guard_init(void);

/* Runs body(data). Returns false where it was ended by SIGBUS: then body must not have held
 * anything that needs to be let go. Any thread; does not nest. About 10 ns. */
bool guard_run(void (*body)(void *data), void *data);

#endif /* SHMBUS_AGENT_GUARD_H */
