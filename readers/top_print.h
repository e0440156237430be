/* SPDX-License-Identifier: MIT */
/* top_print.h - shmbus top where there is no screen: plain tables, and JSON. */
#ifndef SHMBUS_READERS_TOP_PRINT_H
#define SHMBUS_READERS_TOP_PRINT_H

#include "top_layout.h"

/* A table on standard output: the lines above it, then the rows under headings of their own. */
void top_print_text(const struct top_shown *shown, int columns);

/* The same as one line of JSON. */
void top_print_json(const struct top_shown *shown);

#endif /* SHMBUS_READERS_TOP_PRINT_H */
