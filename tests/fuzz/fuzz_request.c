/* SPDX-License-Identifier: MIT */
/*
 * fuzz_request.c - any bytes on a connection to a gateway that shows any document: what comes
 * back is answers of HTTP, those in JSON are JSON, and the connection ends.
 *
 * Two bytes are the size of the document, little-endian; then come the document, and what the
 * client sends before it sends no more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "script.h"
#include "server.h"

#define ANSWERS_MAX (16u << 20)
#define TURNS_MAX 20000 /* of the event loop: more are a connection that never ends */

static struct gateway_options options = {
	.connections_max = 64,
	.connections_address_max = 64,
	.streams_max = 8,
	.timeout_ns = 10000000000u,
	.series_max = 1000,
	.otlp_interval_ns = 10000000000u,
};
static struct gateway gateway = {.options = &options};
static char path[64];

static void at_exit(void)
{
	gateway_end(&gateway);
	sd_event_unref(gateway.event);
	rmdir(path);
}

static void begin(void)
{
	static char place[96], bus[64];

	strcpy(path, "/tmp/shmbus-fuzz-XXXXXX");
	promise(mkdtemp(path) != NULL);
	snprintf(place, sizeof place, "unix:%s/http", path);
	snprintf(bus, sizeof bus, "%s", script_bus());
	options.bus = bus;
	options.listen[0] = place;
	options.listens = 1;
	promise(sd_event_new(&gateway.event) >= 0);
	promise(gateway_start(&gateway) == 0);
	atexit(at_exit);
}

static void document_give(const uint8_t *bytes, size_t size)
{
	static uint64_t seq;
	struct shmbus_snapshot snapshot = {
		.data = bytes,
		.size = size,
		.seq = seq,
		.time_unix_ns = 1700000000000000000u,
		.interval_ns = 1000000000u,
		.agent_running = true,
	};

	seq++;
	feed_take(gateway.feed, &snapshot, 0);
}

static int client_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s/http", path);
	promise(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
	return fd;
}

/* ---- what comes back ---- */

static void json_check(const char *text, size_t size)
{
	json_t *parsed;

	/* Jansson refuses a NUL in a key, and integers beyond 2^63, which JSON allows. */
	if (memmem(text, size, "\\u0000", 6) != NULL)
		return;
	parsed = json_loadb(text, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
	promise(parsed != NULL);
	json_decref(parsed);
}

/* The value of a header of the answer whose headers end at `end`; NULL where it has none. */
static const char *header_find(const char *answer, const char *end, const char *name)
{
	const char *at = memmem(answer, (size_t)(end - answer), name, strlen(name));

	return at != NULL ? at + strlen(name) : NULL;
}

/* The first answer of a connection. What follows it depends on what was sent. */
static void answer_check(const char *answer, size_t size)
{
	const char *end = memmem(answer, size, "\r\n\r\n", 4), *length, *type;
	size_t body;

	if (size == 0)
		return; /* it was not worth an answer */
	promise(size > 12 && memcmp(answer, "HTTP/1.", 7) == 0 && end != NULL);
	length = header_find(answer, end, "\r\nContent-Length: ");
	type = header_find(answer, end, "\r\nContent-Type: ");
	body = (size_t)(answer + size - end - 4);
	if (length == NULL || type == NULL || body == 0 || strtoul(length, NULL, 10) > body)
		return;
	if (strncmp(type, "application/json", strlen("application/json")) == 0 &&
	    header_find(answer, end, "\r\nContent-Encoding: ") == NULL)
		json_check(end + 4, strtoul(length, NULL, 10));
}

/* Sends what there is and takes what comes, until the gateway ends the connection. A stream does
 * not end by itself: it is left when nothing comes any more. */
static size_t converse(int fd, const uint8_t *data, size_t size, char *answers)
{
	size_t sent = 0, taken = 0;
	int quiet = 0;

	for (int turn = 0; turn < TURNS_MAX && quiet < 50; turn++) {
		ssize_t moved = send(fd, data + sent, size - sent, MSG_NOSIGNAL);

		sent += moved > 0 ? (size_t)moved : 0;
		if (moved < 0 && errno != EAGAIN)
			sent = size; /* it takes no more */
		if (sent == size)
			shutdown(fd, SHUT_WR);
		quiet = sd_event_run(gateway.event, quiet > 5 ? 1000 : 0) > 0 ? 0 : quiet + 1;
		moved = recv(fd, answers + taken, ANSWERS_MAX - taken, 0);
		if (moved == 0 || (moved < 0 && errno != EAGAIN))
			return taken;
		taken += moved > 0 ? (size_t)moved : 0;
		promise(taken < ANSWERS_MAX);
		quiet = moved > 0 ? 0 : quiet;
	}
	promise(quiet > 0);
	return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *answers;
	size_t document, taken;
	int fd;

	if (answers == NULL) {
		answers = malloc(ANSWERS_MAX);
		promise(answers != NULL);
		begin();
	}
	if (size < 2)
		return 0;
	document = data[0] | (size_t)data[1] << 8;
	if (document > size - 2)
		document = size - 2;
	document_give(data + 2, document);
	fd = client_connect();
	taken = converse(fd, data + 2 + document, size - 2 - document, answers);
	close(fd);
	/* What follows the headers may be the next answer, after HEAD. */
	if (memmem(data + 2 + document, size - 2 - document, "HEAD", 4) == NULL)
		answer_check(answers, taken);
	/* The gateway sees that the client has gone. */
	for (int turn = 0; turn < 100 && sd_event_run(gateway.event, 0) > 0; turn++)
		continue;
	return 0;
}
