/* SPDX-License-Identifier: MIT */
/*
 * ws.c - WebSocket (RFC 6455) on a socket that libmicrohttpd has handed over. libwslay reads, and
 * writes control frames, by its event interface, which copies what it sends. Snapshots go out of
 * the shared frames by its frame interface. The two take turns between frames.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

#include "gateway.h"
#include "ws.h"
#include "ws_message.h"

#define READ_MAX 16384u      /* at a time; then it is another's turn */
#define ANSWERS_MAX 16u      /* that wait: a flood of pings is read no faster than answered */
#define PING_NS 10000000000u /* between two pings */
#define PONG_NS 25000000000u /* without an answer */
#define DRAIN_NS 2000000000u /* for the peer to read the end */

struct ws {
	struct stream_client client; /* the first member */
	struct gateway *gateway;
	struct MHD_UpgradeResponseHandle *handle;
	int fd;
	sd_event_source *source;
	uint32_t events;
	wslay_event_context_ptr control;
	wslay_frame_context_ptr data;
	char *early;
	size_t early_size, early_taken;
	size_t quota; /* bytes that may still be read in this turn */
	uint64_t pinged_ns, ponged_ns;
	bool more;     /* another part of the frame follows */
	bool closing;  /* a close frame is queued */
	bool draining; /* all is said */
	bool failed;   /* the socket has */
};

static struct ws *ws_of(struct stream_client *client)
{
	return (struct ws *)client;
}

/* Ends it; libmicrohttpd closes the socket when it is run. */
static void ws_free(struct ws *ws)
{
	sd_event_source_disable_unref(ws->source);
	if (ws->control != NULL)
		wslay_event_context_free(ws->control);
	if (ws->data != NULL)
		wslay_frame_context_free(ws->data);
	MHD_upgrade_action(ws->handle, MHD_UPGRADE_ACTION_CLOSE);
	gateway_wake(ws->gateway);
	free(ws->early);
	free(ws);
}

static void ws_end(struct ws *ws)
{
	stream_part(&ws->client);
	ws_free(ws);
}

static void events_set(struct ws *ws)
{
	uint32_t events = 0;

	if (ws->draining) {
		events = EPOLLIN;
	} else {
		if (wslay_event_want_read(ws->control) &&
		    wslay_event_get_queued_msg_count(ws->control) < ANSWERS_MAX)
			events |= EPOLLIN;
		if (wslay_event_want_write(ws->control) || !outbox_empty(&ws->client.outbox) ||
		    (ws->client.leaving && !ws->closing))
			events |= EPOLLOUT;
	}
	if (events == ws->events)
		return;
	ws->events = events;
	sd_event_source_set_io_events(ws->source, events);
}

/* ---- bytes ---- */

static ssize_t send_bytes(struct ws *ws, const uint8_t *bytes, size_t size, int flags)
{
	ssize_t sent = send(ws->fd, bytes, size,
			    MSG_NOSIGNAL | (flags & WSLAY_MSG_MORE || ws->more ? MSG_MORE : 0));

	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		ws->failed = true;
	return sent > 0 ? sent : -1;
}

static ssize_t on_control_send(wslay_event_context_ptr control, const uint8_t *bytes, size_t size,
			       int flags, void *data)
{
	struct ws *ws = data;
	ssize_t sent = send_bytes(ws, bytes, size, flags);

	if (sent < 0)
		wslay_event_set_error(control, ws->failed ? WSLAY_ERR_CALLBACK_FAILURE
							  : WSLAY_ERR_WOULDBLOCK);
	return sent;
}

static ssize_t on_data_send(const uint8_t *bytes, size_t size, int flags, void *data)
{
	return send_bytes(data, bytes, size, flags);
}

/* What came with the handshake goes first. */
static ssize_t receive(struct ws *ws, uint8_t *bytes, size_t size)
{
	ssize_t received;

	if (ws->early_taken == ws->early_size) {
		received = recv(ws->fd, bytes, size, 0);
		if (received == 0 || (received < 0 && errno != EAGAIN && errno != EINTR))
			ws->failed = true;
		return received;
	}
	if (size > ws->early_size - ws->early_taken)
		size = ws->early_size - ws->early_taken;
	memcpy(bytes, ws->early + ws->early_taken, size);
	ws->early_taken += size;
	return (ssize_t)size;
}

static ssize_t on_receive(wslay_event_context_ptr control, uint8_t *bytes, size_t size, int flags,
			  void *data)
{
	struct ws *ws = data;
	ssize_t received = -1;

	(void)flags;
	if (size > ws->quota)
		size = ws->quota;
	if (size != 0)
		received = receive(ws, bytes, size);
	if (received > 0) {
		ws->quota -= (size_t)received;
		return received;
	}
	wslay_event_set_error(control,
			      ws->failed ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
	return -1;
}

/* ---- messages ---- */

static void on_message(wslay_event_context_ptr control,
		       const struct wslay_event_on_msg_recv_arg *message, void *data)
{
	struct ws *ws = data;

	(void)control;
	if (message->opcode == WSLAY_PONG)
		ws->ponged_ns = stream_now_ns();
	if (ws->client.leaving)
		return;
	if (message->opcode == WSLAY_TEXT_FRAME)
		ws_message(&ws->client, (const char *)message->msg, message->msg_length);
	else if (message->opcode == WSLAY_BINARY_FRAME)
		stream_leave(&ws->client, LEAVE_UNSUPPORTED, "messages are text");
}

/* Sends a part of a frame. Returns false where there is none, or no room. */
static bool data_send(struct ws *ws)
{
	const char *bytes;
	size_t size = outbox_next(&ws->client.outbox, &bytes);
	struct wslay_frame_iocb part = {.fin = 1, .opcode = WSLAY_TEXT_FRAME};
	ssize_t sent;

	if (size == 0)
		return false;
	part.payload_length = outbox_frame_size(&ws->client.outbox);
	part.data = (const uint8_t *)bytes;
	part.data_length = size;
	ws->more = outbox_rest(&ws->client.outbox) > size;
	sent = wslay_frame_send(ws->data, &part);
	ws->more = false;
	if (sent < 0) {
		ws->failed |= sent != WSLAY_ERR_WANT_WRITE;
		return false;
	}
	stream_taken(&ws->client, (size_t)sent);
	return true;
}

static void close_queue(struct ws *ws)
{
	const char *reason = ws->client.reason;

	ws->closing = true;
	wslay_event_queue_close(ws->control, (uint16_t)ws->client.code, (const uint8_t *)reason,
				strlen(reason));
}

/* Control frames between two frames of data; after a close frame nothing. */
static void output(struct ws *ws)
{
	do {
		if (outbox_within(&ws->client.outbox))
			continue;
		if (ws->client.leaving && !ws->closing && outbox_empty(&ws->client.outbox))
			close_queue(ws);
		if (wslay_event_want_write(ws->control) && wslay_event_send(ws->control) != 0)
			ws->failed = true;
		if (ws->failed || wslay_event_want_write(ws->control) ||
		    wslay_event_get_close_sent(ws->control))
			return;
	} while (data_send(ws));
}

static void input(struct ws *ws)
{
	ws->quota = READ_MAX;
	/* Where it fails although the socket has not, a close frame with the reason is queued. */
	wslay_event_recv(ws->control);
}

/* All is said: the peer has it all when it closes too. A close with something unread would throw
 * away what the peer has not read. */
static void drain_begin(struct ws *ws)
{
	ws->draining = true;
	outbox_clear(&ws->client.outbox);
	ws->client.leaving = true;
	ws->client.leave_ns = stream_now_ns() + DRAIN_NS;
	shutdown(ws->fd, SHUT_WR);
}

static void drain(struct ws *ws)
{
	char bytes[READ_MAX];
	ssize_t received = recv(ws->fd, bytes, sizeof bytes, 0);

	if (received == 0 || (received < 0 && errno != EAGAIN && errno != EINTR))
		ws->failed = true;
}

static void turn(struct ws *ws, uint32_t events)
{
	if (ws->draining) {
		drain(ws);
	} else {
		if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			input(ws);
		if (!ws->failed)
			output(ws);
		if (!ws->failed && !wslay_event_want_read(ws->control) &&
		    !wslay_event_want_write(ws->control) && !outbox_within(&ws->client.outbox))
			drain_begin(ws);
	}
	if (ws->failed)
		ws_end(ws);
	else
		events_set(ws);
}

static int on_socket(sd_event_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	turn(data, events);
	return 0;
}

/* ---- what stream.c calls ---- */

static void ws_wake(struct stream_client *client)
{
	events_set(ws_of(client));
}

static void ws_tick(struct stream_client *client, uint64_t now_ns)
{
	static const struct wslay_event_msg ping = {.opcode = WSLAY_PING};
	struct ws *ws = ws_of(client);

	if (client->leaving)
		return;
	if (stream_since_ns(ws->ponged_ns, now_ns) >= PONG_NS) {
		stream_leave(client, LEAVE_REFUSED, "pings were not answered");
	} else if (stream_since_ns(ws->pinged_ns, now_ns) >= PING_NS) {
		ws->pinged_ns = now_ns;
		wslay_event_queue_msg(ws->control, &ping);
		events_set(ws);
	}
}

static void ws_cut(struct stream_client *client)
{
	ws_end(ws_of(client));
}

static const struct stream_transport ws_transport = {WIRE_PLAIN, ws_wake, ws_tick, ws_cut};

static bool contexts_make(struct ws *ws)
{
	static const struct wslay_event_callbacks control = {
		.recv_callback = on_receive,
		.send_callback = on_control_send,
		.on_msg_recv_callback = on_message,
	};
	static const struct wslay_frame_callbacks data = {.send_callback = on_data_send};

	if (wslay_event_context_server_init(&ws->control, &control, ws) != 0 ||
	    wslay_frame_context_init(&ws->data, &data, ws) != 0)
		return false;
	wslay_event_config_set_max_recv_msg_length(ws->control, WS_MESSAGE_MAX);
	return true;
}

static bool socket_take(struct ws *ws, const struct ws_socket *from)
{
	int flags = fcntl(from->fd, F_GETFL), on = 1;

	ws->handle = from->handle;
	ws->fd = from->fd;
	if (flags < 0 || fcntl(ws->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return false;
	/* Frames are sent whole, so there is nothing to wait for. A Unix socket refuses it. */
	setsockopt(ws->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (from->early_size == 0)
		return true;
	ws->early = malloc(from->early_size);
	if (ws->early == NULL)
		return false;
	memcpy(ws->early, from->early, from->early_size);
	ws->early_size = from->early_size;
	return true;
}

void ws_open(struct gateway *gateway, const struct ws_socket *from,
	     const struct stream_query *query, const char *refusal)
{
	struct ws *ws = calloc(1, sizeof *ws);

	if (ws == NULL) {
		MHD_upgrade_action(from->handle, MHD_UPGRADE_ACTION_CLOSE);
		return;
	}
	ws->gateway = gateway;
	ws->client.transport = &ws_transport;
	ws->pinged_ns = ws->ponged_ns = stream_now_ns();
	if (!socket_take(ws, from) || !contexts_make(ws) ||
	    sd_event_add_io(gateway->event, &ws->source, ws->fd, 0, on_socket, ws) < 0 ||
	    stream_join(gateway->streams, &ws->client, query) != 0) {
		ws_free(ws);
		return;
	}
	if (refusal != NULL)
		stream_leave(&ws->client, LEAVE_REFUSED, refusal);
	events_set(ws);
	if (ws->early_size != 0)
		turn(ws, EPOLLIN);
}
