/* SPDX-License-Identifier: MIT */
/* html.h - the report as one page: no network, no scripts, pictures as inline SVG. */
#ifndef SHMBUS_BENCH_HTML_H
#define SHMBUS_BENCH_HTML_H

#include <jansson.h>

/* Writes what the JSON file has as a page. Returns 0, or -1 with errno. */
int html_write(const json_t *report, const char *path);

#endif /* SHMBUS_BENCH_HTML_H */
