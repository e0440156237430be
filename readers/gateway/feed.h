/* SPDX-License-Identifier: MIT */
/*
 * feed.h - the newest snapshot of the bus, and who wants to know of a new one.
 *
 * Belongs to the thread of the event loop, as all of the gateway does.
 */
#ifndef SHMBUS_GATEWAY_FEED_H
#define SHMBUS_GATEWAY_FEED_H

#include <systemd/sd-event.h>

#include "document.h"

/* What the readers of a bus have to know before they believe a snapshot. */
enum feed_state {
	FEED_WAITING, /* no agent has published yet */
	FEED_LIVE,
	FEED_STALE, /* the agent is gone, stopped or starved; the snapshot is its last one */
	FEED_BROKEN /* snapshots cannot be read: feed_error() says why */
};

/* What the feed does with a snapshot that it has read. Tests give it their own. */
struct feed;
void feed_take(struct feed *feed, const struct shmbus_snapshot *snapshot, uint64_t gap);

/* Called after a new snapshot, and after a change of state. */
typedef void (*feed_call)(struct feed *feed, void *data);

/* Looks at a bus (NULL: $SHMBUS_BUS, else "default") as often as its agent publishes. Returns 0
 * or a negative errno. */
int feed_new(sd_event *event, const char *bus, struct feed **out);
void feed_free(struct feed *feed); /* NULL is allowed */

/* A feed has a few listeners, in the order of their calls here. They stay. */
#define FEED_LISTENERS_MAX 8
void feed_listen(struct feed *feed, feed_call call, void *data);

const char *feed_bus(const struct feed *feed);
enum feed_state feed_state(const struct feed *feed);
const char *feed_state_name(enum feed_state state); /* "waiting", "live", "stale", "broken" */
const char *feed_error(const struct feed *feed);    /* for people; "" where all is well */

/* The newest snapshot, NULL before the first; valid until control returns to the event loop. A
 * stale one is here too. `snapshot.age_ns` in it is as of its arrival: see feed_age_ns(). */
const struct document *feed_document(const struct feed *feed);

/* Snapshots between this one and the one before it that were published and not seen. */
uint64_t feed_gap(const struct feed *feed);

/* How old the newest snapshot is now; 0 before the first. */
uint64_t feed_age_ns(const struct feed *feed);

/* Counts snapshots and changes of state: what was made of one count is not to be made again. */
uint64_t feed_version(const struct feed *feed);

#endif /* SHMBUS_GATEWAY_FEED_H */
