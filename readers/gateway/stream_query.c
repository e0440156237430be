/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "feed.h"
#include "find.h"
#include "request.h"
#include "stream_client.h"

#define INTERVAL_MIN_S 0.1
#define INTERVAL_MAX_S 60.0

static unsigned int topic_resolve(const struct feed *feed, struct stream_query *query,
				  const char *session, char *message, size_t size)
{
	const struct document *document = feed_document(feed);
	const msgpack_object *found = NULL;

	if (document == NULL) {
		snprintf(message, size, "%s: start shmbus-agent", feed_error(feed));
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	}
	switch (session_find(document, session, &found)) {
	case FOUND_ONE:
		topic_name_of(&query->topic, found);
		return 0;
	case FOUND_SEVERAL:
		snprintf(message, size, "several sessions begin so: say more of the id");
		return MHD_HTTP_CONFLICT;
	default:
		snprintf(message, size, "no such session: /metrics lists them");
		return MHD_HTTP_NOT_FOUND;
	}
}

unsigned int stream_query_parse(const struct feed *feed, struct stream_query *query,
				const char *session, const char *interval, const char *last,
				char *message, size_t size)
{
	double seconds = 1;
	char *end = NULL;

	*query = (struct stream_query){.topic = {.bus = true}};
	if (interval != NULL)
		seconds = strtod(interval, &end);
	if (interval != NULL && (end == interval || *end != '\0' || isnan(seconds) ||
				 seconds < INTERVAL_MIN_S || seconds > INTERVAL_MAX_S)) {
		snprintf(message, size, "interval is a number of seconds from 0.1 to 60");
		return MHD_HTTP_BAD_REQUEST;
	}
	query->interval_ns = (uint64_t)(seconds * 1e9);
	/* What is no number of ours is as good as none: the client starts anew. */
	if (last != NULL && last[0] >= '0' && last[0] <= '9') {
		errno = 0;
		query->last = strtoull(last, &end, 10);
		query->resumes = errno == 0 && *end == '\0';
	}
	return session != NULL ? topic_resolve(feed, query, session, message, size) : 0;
}
