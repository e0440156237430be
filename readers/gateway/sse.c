/* SPDX-License-Identifier: MIT */
/*
 * sse.c - Server-Sent Events (WHATWG HTML, 9.2): a response without an end. libmicrohttpd asks for
 * its bytes; while there are none, the connection is suspended.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "connection.h"
#include "gateway.h"
#include "stream.h"
#include "stream_client.h"

#define BLOCK_SIZE 32768u

struct sse {
	struct stream_client client; /* the first member */
	struct MHD_Connection *connection;
	const char *note; /* a comment, or a field for the browser; NULL: nothing */
	bool suspended;
	bool cut;
};

static struct sse *sse_of(struct stream_client *client)
{
	return (struct sse *)client;
}

/* Only what is suspended may be resumed; libmicrohttpd does it when it is run. */
static void sse_wake(struct stream_client *client)
{
	struct sse *sse = sse_of(client);

	if (!sse->suspended)
		return;
	sse->suspended = false;
	MHD_resume_connection(sse->connection);
	gateway_wake(stream_gateway(client->streams));
}

static void sse_tick(struct stream_client *client, uint64_t now_ns)
{
	if (stream_since_ns(client->said_ns, now_ns) < SILENT_NS)
		return;
	client->said_ns = now_ns;
	sse_of(client)->note = ": heartbeat\n\n";
	sse_wake(client);
}

/* libmicrohttpd finds the connection shut, and forgets it. */
static void sse_cut(struct stream_client *client)
{
	struct sse *sse = sse_of(client);
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(sse->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (!sse->cut && info != NULL)
		shutdown(info->connect_fd, SHUT_RDWR);
	sse->cut = true;
	sse_wake(client);
}

static const struct stream_transport sse_transport = {WIRE_SSE, sse_wake, sse_tick, sse_cut};

/* ---- what libmicrohttpd calls ---- */

static size_t frames_copy(struct stream_client *client, char *out, size_t room)
{
	size_t copied = 0, size;
	const char *data;

	while (copied < room && (size = outbox_next(&client->outbox, &data)) != 0) {
		if (size > room - copied)
			size = room - copied;
		memcpy(out + copied, data, size);
		stream_taken(client, size);
		copied += size;
	}
	return copied;
}

static ssize_t on_read(void *data, uint64_t position, char *out, size_t room)
{
	struct sse *sse = data;
	struct stream_client *client = &sse->client;
	size_t copied = 0;

	(void)position;
	if (sse->cut)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (sse->note != NULL && !outbox_within(&client->outbox) && room >= strlen(sse->note)) {
		copied = strlen(sse->note);
		memcpy(out, sse->note, copied);
		sse->note = NULL;
	}
	copied += frames_copy(client, out + copied, room - copied);
	if (copied != 0)
		return (ssize_t)copied;
	if (client->leaving)
		return MHD_CONTENT_READER_END_OF_STREAM;
	sse->suspended = true;
	MHD_suspend_connection(sse->connection);
	return 0;
}

/* The connection is gone, whoever ended it. */
static void on_free(void *data)
{
	struct sse *sse = data;

	stream_part(&sse->client);
	free(sse);
}

static struct sse *sse_new(struct request *request, const struct stream_query *query)
{
	struct sse *sse = calloc(1, sizeof *sse);

	if (sse == NULL)
		return NULL;
	sse->client.transport = &sse_transport;
	sse->connection = request->connection;
	sse->note = "retry: 1000\n\n";
	if (stream_join(request->gateway->streams, &sse->client, query) == 0)
		return sse;
	free(sse);
	return NULL;
}

/* Browsers that come back after the end are told so, and do not ask again. */
static enum MHD_Result answer_over(struct request *request)
{
	return answer_response(request, MHD_HTTP_NO_CONTENT,
			       MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
}

enum MHD_Result handle_sse(struct request *request)
{
	struct streams *streams = request->gateway->streams;
	const char *last = request_header(request, "Last-Event-ID");
	struct MHD_Response *response;
	struct stream_query query;
	unsigned int status;
	char message[256];
	struct sse *sse;

	status = stream_query_parse(
		request->gateway->feed, &query, request_argument(request, "session"),
		request_argument(request, "interval"),
		last != NULL ? last : request_argument(request, "last"), message, sizeof message);
	if (status == 0 && stream_is_over(streams, &query))
		return answer_over(request);
	if (status == 0)
		status = stream_admit(streams, message, sizeof message);
	if (status != 0)
		return answer_error(request, status, "%s", message);
	sse = sse_new(request, &query);
	if (sse == NULL)
		return MHD_NO;
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_SIZE, on_read, sse,
						     on_free);
	if (response == NULL) {
		on_free(sse);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/event-stream");
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Accel-Buffering", "no"); /* nginx */
	connections_stream(request->connection);
	return answer_response(request, MHD_HTTP_OK, response);
}
