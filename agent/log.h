/* SPDX-License-Identifier: MIT */
/* log.h - what the agent says to its operator: one line each on stderr. Any thread. */
#ifndef SHMBUS_AGENT_LOG_H
#define SHMBUS_AGENT_LOG_H

#include <stdbool.h>

/* Prints "shmbus-agent[bus]: ...". */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, only with --verbose. */
void log_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));

void log_setup(const char *bus, bool verbose);

#endif /* SHMBUS_AGENT_LOG_H */
