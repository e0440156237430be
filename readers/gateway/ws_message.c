/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include <jansson.h>

#include "gateway.h"
#include "ws_message.h"

static void subscribe(struct stream_client *client, const json_t *session, const json_t *interval)
{
	const char *id = json_string_value(session);
	struct stream_query query;
	char seconds[32], message[256];

	snprintf(seconds, sizeof seconds, "%.9g",
		 interval != NULL ? json_number_value(interval)
				  : (double)client->interval_ns * 1e-9);
	if ((session != NULL && id == NULL && !json_is_null(session)) ||
	    (interval != NULL && !json_is_number(interval))) {
		stream_tell_error(client, "session is a text or null, interval a number");
		return;
	}
	if (stream_query_parse(stream_gateway(client->streams)->feed, &query, id, seconds, NULL,
			       message, sizeof message) != 0) {
		stream_tell_error(client, message);
		return;
	}
	if (session == NULL)
		query.topic = client->topic->name;
	if (stream_switch(client, &query) != 0)
		stream_leave(client, LEAVE_SLOW, "no memory");
}

void ws_message(struct stream_client *client, const char *text, size_t size)
{
	json_t *message = json_loadb(text, size, 0, NULL), *session, *interval;

	if (!json_is_object(message)) {
		json_decref(message);
		stream_leave(client, LEAVE_INVALID, "a message is a JSON object");
		return;
	}
	session = json_object_get(message, "session");
	interval = json_object_get(message, "interval");
	if (session != NULL || interval != NULL)
		subscribe(client, session, interval);
	json_decref(message);
}
