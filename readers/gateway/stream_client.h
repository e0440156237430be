/* SPDX-License-Identifier: MIT */
/*
 * stream_client.h - a client of a stream, and what stream.c and its transports (sse.c, ws.c)
 *promise each other.
 *
 *	feed --> stream.c: topic.c's frames --> outbox of each client --> transport --> socket
 *
 * A transport owns its clients. It makes them with stream_join() and gives them up with
 * stream_part(); in between stream.c puts frames into their outboxes.
 */
#ifndef SHMBUS_GATEWAY_STREAM_CLIENT_H
#define SHMBUS_GATEWAY_STREAM_CLIENT_H

#include <systemd/sd-event.h>

#include "outbox.h"
#include "topic.h"

struct feed;
struct gateway;
struct streams;
struct stream_client;

struct stream_transport {
	enum wire wire;
	/* There is something in the outbox, or it was the last. Nothing is sent from here. */
	void (*wake)(struct stream_client *client);
	/* Once a second: the time for signs of life. */
	void (*tick)(struct stream_client *client, uint64_t now_ns);
	/* Ends it now; it may be freed then. */
	void (*cut)(struct stream_client *client);
};

/* Why a stream ends, as WebSocket's codes have it. */
enum leave {
	LEAVE_OVER = 1000,
	LEAVE_STOPPING = 1001,
	LEAVE_UNSUPPORTED = 1003,
	LEAVE_INVALID = 1007,
	LEAVE_REFUSED = 1008,
	LEAVE_SLOW = 1013 /* try again later */
};

#define LEAVE_NS 5000000000u   /* for the last words */
#define SILENT_NS 10000000000u /* without a frame: a sign of life */
#define STUCK_NS 30000000000u  /* something waits, and not a byte is taken */

struct stream_client {
	struct streams *streams;
	const struct stream_transport *transport;
	struct stream_client *next, **link; /* of the streams */
	struct topic *topic;
	uint64_t interval_ns;
	uint64_t next_ns; /* when its next frame is due */
	uint64_t missed;  /* see struct frame: as of its last frame */
	struct outbox outbox;
	uint64_t said_ns;  /* when it last got something to send */
	uint64_t taken_ns; /* when it last took something, or had all */
	bool leaving;      /* the last is in the outbox */
	enum leave code;
	const char *reason;
	uint64_t leave_ns; /* then it is cut */
};

/* What a client asks for. */
struct stream_query {
	struct topic_name topic;
	uint64_t interval_ns;
	bool resumes;
	uint64_t last;
};

/* Makes a query of its texts; NULL where there is none. Returns 0 or a status of HTTP, with a
 * message for people. */
unsigned int stream_query_parse(const struct feed *feed, struct stream_query *query,
				const char *session, const char *interval, const char *last,
				char *message, size_t size);

/* Whether one more client is admitted. Returns 0 or a status of HTTP, with a message. */
unsigned int stream_admit(struct streams *streams, char *message, size_t size);

/* Whether the client has all that there will ever be. */
bool stream_is_over(struct streams *streams, const struct stream_query *query);

/* Adds a client, whose transport is set; or gives it another topic. Returns 0 or -ENOMEM. */
int stream_join(struct streams *streams, struct stream_client *client,
		const struct stream_query *query);
int stream_switch(struct stream_client *client, const struct stream_query *query);

/* It is gone. */
void stream_part(struct stream_client *client);

/* It has taken so many bytes of its outbox. */
void stream_taken(struct stream_client *client, size_t size);

/* Says why, and ends it when that is sent, or could not be for some seconds. */
void stream_leave(struct stream_client *client, enum leave code, const char *reason);

/* A word to one client, which stays. */
void stream_tell_error(struct stream_client *client, const char *reason);

uint64_t stream_now_ns(void);

/* 0 where it is not over: something may have happened after `now_ns` was asked for. */
static inline uint64_t stream_since_ns(uint64_t then_ns, uint64_t now_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

sd_event *stream_event(const struct streams *streams);
struct gateway *stream_gateway(const struct streams *streams);

#endif /* SHMBUS_GATEWAY_STREAM_CLIENT_H */
