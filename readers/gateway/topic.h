/* SPDX-License-Identifier: MIT */
/*
 * topic.h - what can be listened to, the bus or one session, with the frames that all its
 * listeners share. It stays for a while when the last one has gone, so that one that lost its
 * connection finds what it missed.
 */
#ifndef SHMBUS_GATEWAY_TOPIC_H
#define SHMBUS_GATEWAY_TOPIC_H

#include "history.h"

#define TOPICS_WAITING_MAX 32u     /* without listeners */
#define TOPIC_WAIT_NS 15000000000u /* for them to come back */

/* Of one session, whichever others its id will have later. */
struct topic_name {
	bool bus;
	char segment[96]; /* its id, where it has no segment */
	uint64_t incarnation;
};

struct topic {
	struct topic *next;
	struct topic_name name;
	struct history history;
	size_t clients;
	const char *over; /* why the final frame is the final one; NULL: there is more to come */
	uint64_t interval_ns; /* of the last that left */
	uint64_t next_ns;
	uint64_t until_ns; /* without clients: when it is forgotten */
};

struct topics {
	struct topic *first;
	size_t bytes; /* of all histories */
	uint64_t frames_total;
};

void topics_free(struct topics *topics);

struct topic *topic_find(const struct topics *topics, const struct topic_name *name);

/* The topic of that name, made where there is none; NULL without memory. */
struct topic *topic_take(struct topics *topics, const struct topic_name *name);

/* Its last client has gone. The one that waits longest is forgotten where too many do. */
void topic_wait(struct topics *topics, struct topic *topic, uint64_t interval_ns, uint64_t now_ns);
void topics_expire(struct topics *topics, uint64_t now_ns);

/* A bus that has begun anew: numbers mean something else. */
void topics_clear(struct topics *topics);

void topic_name_of(struct topic_name *name, const msgpack_object *session);
const msgpack_object *topic_session(const struct topic_name *name, const msgpack_object *root);

/* What a session's state means to its listeners: why it is over, or NULL. */
const char *topic_session_over(const msgpack_object *session);

/* Writes the frame of a snapshot and keeps it; the newest one there is where it is the same
 * snapshot's. NULL where nothing can be written. The reference is the history's. */
struct topic_moment {
	struct frame_source source;
	uint64_t missed;
	uint64_t now_ns;
};
struct frame *topic_write(struct topics *topics, struct topic *topic,
			  const struct topic_moment *moment);

#endif /* SHMBUS_GATEWAY_TOPIC_H */
