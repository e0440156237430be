/* SPDX-License-Identifier: MIT */
/* output.h - stdout, whoever shares it. One thread. */
#ifndef SHMBUS_READERS_OUTPUT_H
#define SHMBUS_READERS_OUTPUT_H

/*
 * Puts a stream in stdout's place that writes all that it gets. The C library's own gives up what a
 * pipe has no room for at the moment, where another process that holds the pipe has made it
 * non-blocking.
 */
void output_begin(void);

/* Writes what is left. Returns 0, or -errno of the first write that failed; what came after it is
 * lost. */
int output_end(void);

#endif /* SHMBUS_READERS_OUTPUT_H */
