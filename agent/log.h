/* SPDX-License-Identifier: MIT */
/* log.h - what the agent says to its operator: one line each on stderr. Any thread; never waits
 * for whoever reads them once log_hold() was called. */
#ifndef SHMBUS_AGENT_LOG_H
#define SHMBUS_AGENT_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* Prints "shmbus-agent[bus]: ...". */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, only with --verbose. */
void log_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

void log_setup(const char *bus, bool verbose);

/* Lines wait for log_start() from here on, for as long as there may not be a second thread. */
void log_hold(void);

/* Lines are written by a thread of their own from here on. Returns 0, or -errno: then they are
 * written at once, as before. */
int log_start(void);

/* The last of all: waits a second at most until everything is written. */
void log_stop(void);

/* Lines that could not be written. */
uint64_t log_lost(void);

#endif /* SHMBUS_AGENT_LOG_H */
