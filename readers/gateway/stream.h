/* SPDX-License-Identifier: MIT */
/* stream.h - each snapshot to whoever listens: Server-Sent Events and WebSocket. */
#ifndef SHMBUS_GATEWAY_STREAM_H
#define SHMBUS_GATEWAY_STREAM_H

#include "request.h"

struct streams;

int streams_new(struct gateway *gateway, struct streams **out);

/* Says goodbye to all, who then have a few seconds to take what is theirs. None comes in any
 * more. */
void streams_stop(struct streams *streams);

/* Lets libmicrohttpd's connections go, whatever is still to be said: before the server is freed. */
void streams_cut(struct streams *streams);

/* After the server, which still knows the streams. NULL is allowed. */
void streams_free(struct streams *streams);

struct streams_stats {
	uint64_t open; /* now */
	uint64_t opened_total;
	uint64_t refused_total; /* one too many */
	uint64_t slow_total;    /* dropped, because they did not take their frames */
	uint64_t frames_total;  /* written; each for all who get it */
	uint64_t history_bytes; /* kept for those who come back */
};

void streams_stats(const struct streams *streams, struct streams_stats *out);

enum MHD_Result handle_sse(struct request *request); /* GET /api/v1/stream */
enum MHD_Result handle_ws(struct request *request);  /* GET /api/v1/ws */

#endif /* SHMBUS_GATEWAY_STREAM_H */
