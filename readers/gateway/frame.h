/* SPDX-License-Identifier: MIT */
/*
 * frame.h - what the streams send: a snapshot, one of its sessions, or a word about them, as JSON
 * in one line.
 *
 * The beginning of a frame, with `gap`, may be another for each client, and what follows it is
 * the same for all. So each is written apart: frame_head() and one of the others, which begins with
 * a comma and ends the object.
 */
#ifndef SHMBUS_GATEWAY_FRAME_H
#define SHMBUS_GATEWAY_FRAME_H

#include "body.h"
#include "document.h"

enum frame_type { FRAME_BUS, FRAME_SESSION, FRAME_STATUS, FRAME_ERROR, FRAME_END };

const char *frame_type_name(enum frame_type type);

/* Whether it has a number, by which a stream goes on after it. */
bool frame_numbered(enum frame_type type);

#define FRAME_HEAD_SIZE 112

/* {"type":"bus","seq":N,"gap":N; returns its length. `seq`, `gap` and `final` are those of numbered
 * frames alone. */
size_t frame_head(char out[FRAME_HEAD_SIZE], enum frame_type type, uint64_t seq, uint64_t gap,
		  bool final);

struct frame_source {
	const struct document *document;
	const char *bus;
	const char *state;         /* feed_state_name() */
	uint64_t age_ns;           /* of the document, now */
	const struct body *health; /* an object; NULL: left out */
};

/* The whole bus, in numbers of six digits where they are reals: enough to look at. */
void frame_bus_write(struct body *out, const struct frame_source *source);

/* One session, whole and exact. */
void frame_session_write(struct body *out, const struct frame_source *source,
			 const msgpack_object *session);

void frame_status_write(struct body *out, const char *state, uint64_t age_ns, const char *error);

/* Of an error or an end. */
void frame_reason_write(struct body *out, const char *reason);

/* Six digits, without an exponent where it can be; null for what is not finite. */
void frame_real(struct body *out, double value);

#endif /* SHMBUS_GATEWAY_FRAME_H */
