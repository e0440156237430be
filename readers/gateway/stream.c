/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway.h"
#include "health.h"
#include "stream.h"
#include "stream_client.h"
#include "times.h"

#define TICK_US 1000000u

struct streams {
	struct gateway *gateway;
	struct topics topics;
	struct stream_client *first;
	struct streams_stats stats;
	sd_event_source *tick;
	bool stopping;
	enum feed_state state; /* as told */
	uint64_t seq;          /* of the newest snapshot; with its time it is unmistakable */
	uint64_t time_unix_ns;
	uint64_t missed;    /* snapshots that the gateway did not see, in all */
	struct body health; /* in what frames say; empty where nobody knows */
};

uint64_t stream_now_ns(void)
{
	return monotonic_ns();
}

sd_event *stream_event(const struct streams *streams)
{
	return streams->gateway->event;
}

struct gateway *stream_gateway(const struct streams *streams)
{
	return streams->gateway;
}

/* ---- to one client ---- */

static struct frame *word(enum frame_type type, const char *reason)
{
	struct body body = BODY_EMPTY;

	frame_reason_write(&body, reason);
	return frame_new(type, &body);
}

static void said(struct stream_client *client, uint64_t now_ns)
{
	client->said_ns = now_ns;
	client->transport->wake(client);
}

static void leave(struct stream_client *client, enum frame_type type, enum leave code,
		  const char *reason)
{
	struct frame *frame;

	if (client->leaving)
		return;
	frame = word(type, reason);
	if (frame != NULL)
		outbox_farewell(&client->outbox, frame, type == FRAME_ERROR);
	frame_drop(frame);
	client->leaving = true;
	client->code = code;
	client->reason = reason;
	client->leave_ns = stream_now_ns() + LEAVE_NS;
	said(client, stream_now_ns());
}

void stream_leave(struct stream_client *client, enum leave code, const char *reason)
{
	if (code == LEAVE_SLOW && !client->leaving)
		client->streams->stats.slow_total++;
	leave(client, code == LEAVE_OVER || code == LEAVE_STOPPING ? FRAME_END : FRAME_ERROR, code,
	      reason);
}

static void give(struct stream_client *client, struct frame *frame, uint64_t gap, uint64_t now_ns)
{
	if (client->leaving)
		return;
	if (outbox_empty(&client->outbox))
		client->taken_ns = now_ns;
	if (!outbox_add(&client->outbox, frame, gap)) {
		stream_leave(client, LEAVE_SLOW, "this client is too slow: frames waited for it");
		return;
	}
	said(client, now_ns);
}

void stream_tell_error(struct stream_client *client, const char *reason)
{
	struct frame *frame = word(FRAME_ERROR, reason);

	if (frame != NULL)
		give(client, frame, 0, stream_now_ns());
	frame_drop(frame);
}

void stream_taken(struct stream_client *client, size_t size)
{
	outbox_sent(&client->outbox, size);
	client->taken_ns = stream_now_ns();
}

/* ---- frames of snapshots ---- */

/* Half of what lies between two snapshots: the agent's ticks are not to the nanosecond. */
static uint64_t slack_ns(const struct streams *streams)
{
	const struct document *document = feed_document(streams->gateway->feed);

	return document != NULL ? document->snapshot.interval_ns / 2 : 0;
}

/* Whether a frame is due. The next one is then an interval after that one was, not after it came,
 * so that their mean distance is the interval. */
static bool due(uint64_t *next_ns, uint64_t interval_ns, uint64_t slack, uint64_t now_ns)
{
	if (now_ns + slack < *next_ns)
		return false;
	*next_ns += interval_ns;
	if (*next_ns <= now_ns + slack)
		*next_ns = now_ns + interval_ns;
	return true;
}

/* Asked anew for each frame that is written, since services are probed between snapshots. */
static void health_ask(struct streams *streams)
{
	streams->health.size = 0;
	if (streams->gateway->health != NULL)
		health_summary_write(streams->gateway->health, &streams->health);
	if (streams->health.failed)
		body_free(&streams->health);
}

static struct topic_moment moment_of(const struct streams *streams, uint64_t now_ns)
{
	const struct feed *feed = streams->gateway->feed;

	return (struct topic_moment){
		.source = {.document = feed_document(feed),
			   .bus = feed_bus(feed),
			   .state = feed_state_name(feed_state(feed)),
			   .age_ns = feed_age_ns(feed),
			   .health = &streams->health},
		.missed = streams->missed,
		.now_ns = now_ns,
	};
}

static struct frame *topic_frame(struct streams *streams, struct topic *topic, uint64_t now_ns)
{
	struct topic_moment moment = moment_of(streams, now_ns);

	if (topic->name.bus)
		health_ask(streams);
	return moment.source.document != NULL ? topic_write(&streams->topics, topic, &moment)
					      : history_newest(&topic->history);
}

static void give_snapshot(struct stream_client *client, struct frame *frame, uint64_t now_ns)
{
	give(client, frame, frame->missed - client->missed, now_ns);
	client->missed = frame->missed;
	if (frame->final)
		stream_leave(client, LEAVE_OVER, client->topic->over);
}

/* Whether anybody waits for a frame; those who do not get this one are marked by their next_ns. */
static bool anybody_due(struct streams *streams, struct topic *topic, uint64_t now_ns)
{
	uint64_t slack = slack_ns(streams);

	for (struct stream_client *c = streams->first; c != NULL; c = c->next)
		if (c->topic == topic && now_ns + slack >= c->next_ns)
			return true;
	return topic->clients == 0 && due(&topic->next_ns, topic->interval_ns, slack, now_ns);
}

static void topic_publish(struct streams *streams, struct topic *topic, uint64_t now_ns)
{
	const struct document *document = feed_document(streams->gateway->feed);
	bool over = !topic->name.bus &&
		    topic_session_over(topic_session(&topic->name, &document->root)) != NULL;
	struct frame *frame;

	if (topic->over != NULL || (!over && !anybody_due(streams, topic, now_ns)))
		return;
	frame = topic_frame(streams, topic, now_ns);
	if (frame == NULL)
		return;
	for (struct stream_client *c = streams->first, *next; c != NULL; c = next) {
		next = c->next;
		if (c->topic == topic &&
		    (due(&c->next_ns, c->interval_ns, slack_ns(streams), now_ns) || frame->final))
			give_snapshot(c, frame, now_ns);
	}
}

static void publish(struct streams *streams, const struct shmbus_snapshot *snapshot)
{
	uint64_t now_ns = stream_now_ns();

	if (snapshot->seq <= streams->seq)
		topics_clear(&streams->topics);
	else
		streams->missed += feed_gap(streams->gateway->feed);
	streams->seq = snapshot->seq;
	streams->time_unix_ns = snapshot->time_unix_ns;
	for (struct topic *topic = streams->topics.first; topic != NULL; topic = topic->next)
		topic_publish(streams, topic, now_ns);
}

/* ---- the state of the feed ---- */

static struct frame *status(const struct streams *streams)
{
	const struct feed *feed = streams->gateway->feed;
	struct body body = BODY_EMPTY;

	frame_status_write(&body, feed_state_name(feed_state(feed)), feed_age_ns(feed),
			   feed_error(feed));
	return frame_new(FRAME_STATUS, &body);
}

static void status_publish(struct streams *streams)
{
	uint64_t now_ns = stream_now_ns();
	struct frame *frame;

	if (streams->first == NULL)
		return;
	frame = status(streams);
	if (frame == NULL)
		return;
	for (struct stream_client *c = streams->first, *next; c != NULL; c = next) {
		next = c->next;
		give(c, frame, 0, now_ns);
	}
	frame_drop(frame);
}

static void on_feed(struct feed *feed, void *data)
{
	struct streams *streams = data;
	const struct document *document = feed_document(feed);
	bool changed = feed_state(feed) != streams->state;

	streams->state = feed_state(feed);
	if (document != NULL && (document->snapshot.seq != streams->seq ||
				 document->snapshot.time_unix_ns != streams->time_unix_ns))
		publish(streams, &document->snapshot);
	if (changed)
		status_publish(streams);
}

/* ---- time ---- */

static void client_tick(struct stream_client *client, uint64_t now_ns)
{
	if (client->leaving && now_ns >= client->leave_ns) {
		client->transport->cut(client);
		return;
	}
	if (!outbox_empty(&client->outbox) && stream_since_ns(client->taken_ns, now_ns) >= STUCK_NS)
		stream_leave(client, LEAVE_SLOW, "this client takes nothing");
	client->transport->tick(client, now_ns);
}

static int on_tick(sd_event_source *source, uint64_t time_us, void *data)
{
	struct streams *streams = data;
	uint64_t now_ns;

	(void)time_us;
	if (feed_state(streams->gateway->feed) != FEED_LIVE)
		status_publish(streams);
	now_ns = stream_now_ns();
	for (struct stream_client *c = streams->first, *next; c != NULL; c = next) {
		next = c->next;
		client_tick(c, now_ns);
	}
	topics_expire(&streams->topics, now_ns);
	if (streams->first == NULL && streams->topics.first == NULL)
		return 0; /* the next client starts it again */
	sd_event_source_set_time_relative(source, TICK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void tick_start(struct streams *streams)
{
	int enabled;

	if (sd_event_source_get_enabled(streams->tick, &enabled) >= 0 && enabled != SD_EVENT_OFF)
		return;
	sd_event_source_set_time_relative(streams->tick, TICK_US);
	sd_event_source_set_enabled(streams->tick, SD_EVENT_ONESHOT);
}

/* ---- coming and going ---- */

unsigned int stream_admit(struct streams *streams, char *message, size_t size)
{
	if (streams->stopping) {
		snprintf(message, size, "the gateway is stopping");
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	}
	if (streams->stats.open < streams->gateway->options->streams_max)
		return 0;
	streams->stats.refused_total++;
	snprintf(message, size, "there are %" PRIu64 " streams already (--streams-max)",
		 streams->stats.open);
	return MHD_HTTP_SERVICE_UNAVAILABLE;
}

bool stream_is_over(struct streams *streams, const struct stream_query *query)
{
	const struct topic *topic = topic_find(&streams->topics, &query->topic);
	const struct frame *newest;

	if (topic == NULL || topic->over == NULL || !query->resumes)
		return false;
	newest = history_newest(&topic->history);
	return newest != NULL && newest->final && query->last >= newest->seq;
}

/* The frames that it missed; false where it is to start with the newest. */
static bool resume(struct stream_client *client, const struct stream_query *query)
{
	struct streams *streams = client->streams;
	struct resume missed;

	if (!query->resumes || !history_after(&client->topic->history, query->last,
					      query->interval_ns, slack_ns(streams), &missed))
		return false;
	for (size_t i = 0; i < missed.count; i++)
		outbox_replay(&client->outbox, missed.frames[i], missed.gaps[i]);
	client->missed = missed.missed;
	client->next_ns = missed.time_ns + query->interval_ns;
	return true;
}

static void begin(struct stream_client *client, const struct stream_query *query)
{
	struct streams *streams = client->streams;
	uint64_t now_ns = stream_now_ns(), age_ns = feed_age_ns(streams->gateway->feed);
	struct frame *frame = topic_frame(streams, client->topic, now_ns);

	/* Counted from when the snapshot was made, so that the next one may be in time. */
	client->next_ns = now_ns + query->interval_ns - (age_ns < query->interval_ns ? age_ns : 0);
	client->missed = frame != NULL ? frame->missed : streams->missed;
	if (resume(client, query))
		said(client, now_ns);
	else if (frame != NULL && query->resumes && frame->seq > query->last)
		give(client, frame, frame->seq - query->last - 1, now_ns);
	else if (frame != NULL)
		give(client, frame, 0, now_ns);
	if (feed_state(streams->gateway->feed) != FEED_LIVE && (frame = status(streams)) != NULL) {
		give(client, frame, 0, now_ns);
		frame_drop(frame);
	}
	if (client->topic->over != NULL)
		stream_leave(client, LEAVE_OVER, client->topic->over);
}

static int topic_enter(struct stream_client *client, const struct stream_query *query)
{
	struct topic *topic = topic_take(&client->streams->topics, &query->topic);

	if (topic == NULL)
		return -ENOMEM;
	topic->clients++;
	client->topic = topic;
	client->interval_ns = query->interval_ns;
	return 0;
}

static void topic_leave(struct stream_client *client)
{
	if (client->topic != NULL && --client->topic->clients == 0)
		topic_wait(&client->streams->topics, client->topic, client->interval_ns,
			   stream_now_ns());
	client->topic = NULL;
}

int stream_join(struct streams *streams, struct stream_client *client,
		const struct stream_query *query)
{
	client->streams = streams;
	client->outbox.wire = client->transport->wire;
	client->taken_ns = client->said_ns = stream_now_ns();
	if (topic_enter(client, query) != 0)
		return -ENOMEM;
	client->next = streams->first;
	client->link = &streams->first;
	if (client->next != NULL)
		client->next->link = &client->next;
	streams->first = client;
	streams->stats.open++;
	streams->stats.opened_total++;
	tick_start(streams);
	begin(client, query);
	return 0;
}

int stream_switch(struct stream_client *client, const struct stream_query *query)
{
	topic_leave(client);
	if (topic_enter(client, query) != 0)
		return -ENOMEM;
	begin(client, query);
	return 0;
}

void stream_part(struct stream_client *client)
{
	topic_leave(client);
	*client->link = client->next;
	if (client->next != NULL)
		client->next->link = client->link;
	client->streams->stats.open--;
	outbox_clear(&client->outbox);
}

/* ---- all of them ---- */

int streams_new(struct gateway *gateway, struct streams **out)
{
	struct streams *streams = calloc(1, sizeof *streams);
	int error;

	*out = NULL;
	if (streams == NULL)
		return -ENOMEM;
	streams->gateway = gateway;
	streams->state = feed_state(gateway->feed);
	error = sd_event_add_time_relative(gateway->event, &streams->tick, CLOCK_MONOTONIC, TICK_US,
					   TICK_US / 10, on_tick, streams);
	if (error < 0) {
		free(streams);
		return error;
	}
	feed_listen(gateway->feed, on_feed, streams);
	*out = streams;
	return 0;
}

void streams_stop(struct streams *streams)
{
	streams->stopping = true;
	for (struct stream_client *c = streams->first; c != NULL; c = c->next)
		stream_leave(c, LEAVE_STOPPING, "the gateway is stopping");
}

void streams_cut(struct streams *streams)
{
	streams->stopping = true;
	for (struct stream_client *c = streams->first, *next; c != NULL; c = next) {
		next = c->next;
		c->transport->cut(c);
	}
}

void streams_free(struct streams *streams)
{
	if (streams == NULL)
		return;
	sd_event_source_disable_unref(streams->tick);
	topics_free(&streams->topics);
	body_free(&streams->health);
	free(streams);
}

void streams_stats(const struct streams *streams, struct streams_stats *out)
{
	*out = streams->stats;
	out->frames_total = streams->topics.frames_total;
	out->history_bytes = streams->topics.bytes;
}
