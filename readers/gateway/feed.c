/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <shmbus/producer.h>

#include "feed.h"
#include "times.h"

#define STALE_INTERVALS 3 /* as shmbus_snapshot_watch_dispatch() has it */

struct feed {
	char bus[64];
	struct shmbus_snapshot_watch *watch;
	sd_event_source *source;
	uint8_t *bytes; /* of the document */
	size_t bytes_size;
	struct document document;
	bool has_document;
	uint64_t arrived_ns; /* CLOCK_MONOTONIC */
	uint64_t gap;
	uint64_t version;
	enum feed_state state;
	char error[192];
	struct {
		feed_call call;
		void *data;
	} listeners[FEED_LISTENERS_MAX];
	size_t listener_count;
};

static void tell(struct feed *feed)
{
	feed->version++;
	for (size_t i = 0; i < feed->listener_count; i++)
		feed->listeners[i].call(feed, feed->listeners[i].data);
}

/* ---- snapshots ---- */

static bool bytes_take(struct feed *feed, const struct shmbus_snapshot *snapshot)
{
	if (snapshot->size > feed->bytes_size) {
		uint8_t *bytes = realloc(feed->bytes, snapshot->size);

		if (bytes == NULL)
			return false;
		feed->bytes = bytes;
		feed->bytes_size = snapshot->size;
	}
	if (snapshot->size != 0)
		memcpy(feed->bytes, snapshot->data, snapshot->size);
	return true;
}

/* Returns 0 with the document in place of the one before, or a negative errno without one. */
static int document_take(struct feed *feed, const struct shmbus_snapshot *snapshot)
{
	int error;

	if (feed->has_document)
		document_free(&feed->document);
	feed->has_document = false;
	if (!bytes_take(feed, snapshot))
		return -ENOMEM;
	error = document_decode(&feed->document, feed->bytes, snapshot->size);
	if (error != 0)
		return error;
	feed->document.snapshot = *snapshot;
	feed->document.snapshot.data = feed->bytes;
	feed->has_document = true;
	return 0;
}

static void broken(struct feed *feed, int error)
{
	feed->state = FEED_BROKEN;
	snprintf(feed->error, sizeof feed->error, "%s", shmbus_strerror(error));
}

void feed_take(struct feed *feed, const struct shmbus_snapshot *snapshot, uint64_t gap)
{
	int error = document_take(feed, snapshot);

	feed->gap = gap;
	feed->arrived_ns = monotonic_ns();
	feed->error[0] = '\0';
	if (error != 0) {
		broken(feed, error);
	} else if (snapshot->agent_running &&
		   snapshot->age_ns <= STALE_INTERVALS * snapshot->interval_ns) {
		feed->state = FEED_LIVE;
	} else {
		feed->state = FEED_STALE;
		snprintf(feed->error, sizeof feed->error, "the agent of bus \"%s\" does not run",
			 feed->bus);
	}
	tell(feed);
}

static void on_snapshot(const struct shmbus_snapshot *snapshot, uint64_t gap, void *data)
{
	feed_take(data, snapshot, gap);
}

/* No snapshot came: what that means, told where it is news. */
static void without(struct feed *feed, int result)
{
	enum feed_state before = feed->state;

	if (result == -ENOENT && !feed->has_document) {
		feed->state = FEED_WAITING;
		snprintf(feed->error, sizeof feed->error,
			 "no agent has published on bus \"%s\" yet", feed->bus);
	} else if (result == -ESTALE || result == -ENOENT) {
		feed->state = FEED_STALE;
		snprintf(feed->error, sizeof feed->error,
			 "the agent of bus \"%s\" is gone, stopped or starved", feed->bus);
	} else if (result != -EAGAIN) {
		broken(feed, result);
	}
	if (feed->state != before)
		tell(feed);
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct feed *feed = data;
	int result = shmbus_snapshot_watch_dispatch(feed->watch);

	(void)source;
	(void)fd;
	(void)events;
	if (result < 0)
		without(feed, result);
	return 0;
}

/* ---- the feed ---- */

int feed_new(sd_event *event, const char *bus, struct feed **out)
{
	struct feed *feed = calloc(1, sizeof *feed);
	int error;

	*out = NULL;
	if (feed == NULL)
		return -ENOMEM;
	if (bus == NULL)
		bus = getenv("SHMBUS_BUS");
	snprintf(feed->bus, sizeof feed->bus, "%s", bus != NULL && *bus ? bus : "default");
	error = shmbus_snapshot_watch_open(feed->bus, 0, on_snapshot, feed, &feed->watch);
	if (error != 0)
		goto free_feed;
	error = sd_event_add_io(event, &feed->source, shmbus_snapshot_watch_fd(feed->watch),
				EPOLLIN, on_ready, feed);
	if (error < 0)
		goto close_watch;
	/* Requests that wait are answered from the newest snapshot. */
	sd_event_source_set_priority(feed->source, SD_EVENT_PRIORITY_IMPORTANT);
	without(feed, -ENOENT);
	*out = feed;
	return 0;
close_watch:
	shmbus_snapshot_watch_close(feed->watch);
free_feed:
	free(feed);
	return error;
}

void feed_free(struct feed *feed)
{
	if (feed == NULL)
		return;
	sd_event_source_disable_unref(feed->source);
	shmbus_snapshot_watch_close(feed->watch);
	if (feed->has_document)
		document_free(&feed->document);
	free(feed->bytes);
	free(feed);
}

void feed_listen(struct feed *feed, feed_call call, void *data)
{
	if (feed->listener_count == FEED_LISTENERS_MAX)
		abort();
	feed->listeners[feed->listener_count].call = call;
	feed->listeners[feed->listener_count++].data = data;
}

const char *feed_bus(const struct feed *feed)
{
	return feed->bus;
}

enum feed_state feed_state(const struct feed *feed)
{
	return feed->state;
}

const char *feed_state_name(enum feed_state state)
{
	static const char *const names[] = {"waiting", "live", "stale", "broken"};

	return names[state];
}

const char *feed_error(const struct feed *feed)
{
	return feed->error;
}

const struct document *feed_document(const struct feed *feed)
{
	return feed->has_document ? &feed->document : NULL;
}

uint64_t feed_gap(const struct feed *feed)
{
	return feed->gap;
}

uint64_t feed_age_ns(const struct feed *feed)
{
	if (!feed->has_document)
		return 0;
	return feed->document.snapshot.age_ns + monotonic_ns() - feed->arrived_ns;
}

uint64_t feed_version(const struct feed *feed)
{
	return feed->version;
}
