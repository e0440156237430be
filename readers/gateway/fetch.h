/* SPDX-License-Identifier: MIT */
/* fetch.h - requests to elsewhere, by libcurl's multi interface on the event loop. */
#ifndef SHMBUS_GATEWAY_FETCH_H
#define SHMBUS_GATEWAY_FETCH_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "body.h"

struct fetcher;
struct fetch;

struct fetch_result {
	bool reached;         /* there was an answer: a status, or a connection */
	unsigned int status;  /* HTTP's; 0 of a connection */
	uint64_t time_ns;     /* from the start to the end */
	const char *error;    /* for people; "" where reached */
	double retry_after_s; /* what the answer asks for; 0: nothing */
};

typedef void (*fetch_call)(const struct fetch_result *result, void *data);

struct fetch_request {
	const char *url; /* http://, https://, tcp://HOST:PORT, unix:///PATH: a connection only */
	uint64_t timeout_ns;
	const char *content_type; /* with `post` */
	const struct body *post;  /* NULL: GET. It is copied */
	fetch_call call;
	void *data;
};

int fetcher_new(sd_event *event, struct fetcher **out);
void fetcher_free(struct fetcher *fetcher); /* what is under way is given up, without a call */

/* Calls back once, never from here. Returns 0 or a negative errno: then there is no call. */
int fetch_start(struct fetcher *fetcher, const struct fetch_request *request, struct fetch **out);
void fetch_cancel(struct fetch *fetch); /* no call comes any more */

#endif /* SHMBUS_GATEWAY_FETCH_H */
