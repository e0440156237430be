/* SPDX-License-Identifier: MIT */
/* fetch_private.h - a request under way. Private to fetch.c and fetch_unix.c. */
#ifndef SHMBUS_GATEWAY_FETCH_PRIVATE_H
#define SHMBUS_GATEWAY_FETCH_PRIVATE_H

#include <sys/un.h>

#include <curl/curl.h>

#include "fetch.h"

#define FETCH_ERROR_SIZE CURL_ERROR_SIZE

struct fetch {
	struct fetcher *fetcher;
	sd_event *event;
	struct fetch *next, **before; /* the fetcher's list */
	fetch_call call;
	void *data;
	uint64_t start_ns;

	CURL *easy; /* NULL: a Unix socket */
	bool added;
	bool connection;
	bool enough; /* the answer is longer than anybody wants */
	size_t answer_size;
	struct curl_slist *headers;
	struct body post;
	char error[FETCH_ERROR_SIZE];

	int unix_fd;
	sd_event_source *unix_timer;
	uint64_t unix_deadline_ns;
	struct sockaddr_un unix_address;
};

/* Calls back, with the error copied and the time added; the fetch is gone then. */
void fetch_end(struct fetch *fetch, struct fetch_result *result);
void fetch_http_end(struct fetch *fetch, CURLcode code);

/* fetch_unix.c: a connection to a Unix socket. Returns 0 or a negative errno. */
int fetch_unix_start(struct fetch *fetch, const char *path, uint64_t timeout_ns);
void fetch_unix_stop(struct fetch *fetch);

#endif /* SHMBUS_GATEWAY_FETCH_PRIVATE_H */
