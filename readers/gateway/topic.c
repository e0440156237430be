/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topic.h"

/* ---- names ---- */

void topic_name_of(struct topic_name *name, const msgpack_object *session)
{
	*name = (struct topic_name){.incarnation = member_u64(session, "incarnation", 0)};
	member_text(session, "segment", name->segment, sizeof name->segment);
	if (name->segment[0] == '\0')
		member_text(session, "id", name->segment, sizeof name->segment);
}

static bool same(const struct topic_name *a, const struct topic_name *b)
{
	return a->bus == b->bus && a->incarnation == b->incarnation &&
	       strcmp(a->segment, b->segment) == 0;
}

const msgpack_object *topic_session(const struct topic_name *name, const msgpack_object *root)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(root, "sessions", &sessions);

	for (size_t i = 0; i < count; i++) {
		struct topic_name other;

		/* First what is found and compared quickly: there may be many of both. */
		if (member_u64(&sessions[i], "incarnation", 0) != name->incarnation)
			continue;
		topic_name_of(&other, &sessions[i]);
		if (same(name, &other))
			return &sessions[i];
	}
	return NULL;
}

const char *topic_session_over(const msgpack_object *session)
{
	char state[16];

	if (session == NULL)
		return "left";
	member_text(session, "state", state, sizeof state);
	if (strcmp(state, "ended") == 0)
		return "ended";
	return strcmp(state, "lost") == 0 ? "lost" : NULL;
}

/* ---- topics ---- */

struct topic *topic_find(const struct topics *topics, const struct topic_name *name)
{
	for (struct topic *topic = topics->first; topic != NULL; topic = topic->next)
		if (same(&topic->name, name))
			return topic;
	return NULL;
}

struct topic *topic_take(struct topics *topics, const struct topic_name *name)
{
	struct topic *topic = topic_find(topics, name);

	if (topic != NULL)
		return topic;
	topic = calloc(1, sizeof *topic);
	if (topic == NULL)
		return NULL;
	topic->name = *name;
	topic->history.bytes = &topics->bytes;
	topic->next = topics->first;
	topics->first = topic;
	return topic;
}

static void topic_free(struct topics *topics, struct topic *topic)
{
	struct topic **link = &topics->first;

	while (*link != topic)
		link = &(*link)->next;
	*link = topic->next;
	history_clear(&topic->history);
	free(topic);
}

void topics_free(struct topics *topics)
{
	while (topics->first != NULL)
		topic_free(topics, topics->first);
}

void topic_wait(struct topics *topics, struct topic *topic, uint64_t interval_ns, uint64_t now_ns)
{
	struct topic *longest = topic;
	size_t waiting = 0;

	topic->interval_ns = interval_ns;
	topic->next_ns = now_ns;
	topic->until_ns = now_ns + TOPIC_WAIT_NS;
	for (struct topic *t = topics->first; t != NULL; t = t->next) {
		if (t->clients != 0)
			continue;
		waiting++;
		if (t->until_ns < longest->until_ns)
			longest = t;
	}
	if (waiting > TOPICS_WAITING_MAX)
		topic_free(topics, longest);
}

void topics_expire(struct topics *topics, uint64_t now_ns)
{
	for (struct topic *topic = topics->first, *next; topic != NULL; topic = next) {
		next = topic->next;
		if (topic->clients == 0 && topic->until_ns <= now_ns)
			topic_free(topics, topic);
	}
}

void topics_clear(struct topics *topics)
{
	for (struct topic *topic = topics->first; topic != NULL; topic = topic->next)
		history_clear(&topic->history);
}

/* ---- frames ---- */

/* The session is not in the snapshot any more: what was last known of it. */
static bool last_known(struct body *body, const struct topic *topic)
{
	const struct frame *newest = history_newest(&topic->history);

	if (newest == NULL)
		return false;
	body_bytes(body, newest->text, newest->size);
	return true;
}

static bool text_write(struct body *body, struct topic *topic, const struct frame_source *source)
{
	const msgpack_object *session;

	if (topic->name.bus) {
		frame_bus_write(body, source);
		return true;
	}
	session = topic_session(&topic->name, &source->document->root);
	topic->over = topic_session_over(session);
	if (session == NULL)
		return last_known(body, topic);
	frame_session_write(body, source, session);
	return true;
}

struct frame *topic_write(struct topics *topics, struct topic *topic,
			  const struct topic_moment *moment)
{
	struct frame *frame = history_newest(&topic->history);
	struct body body = BODY_EMPTY;

	if (topic->over != NULL ||
	    (frame != NULL && frame->seq == moment->source.document->snapshot.seq))
		return frame;
	if (!text_write(&body, topic, &moment->source))
		return NULL;
	frame = frame_new(topic->name.bus ? FRAME_BUS : FRAME_SESSION, &body);
	if (frame == NULL)
		return NULL;
	frame->seq = moment->source.document->snapshot.seq;
	frame->missed = moment->missed;
	frame->time_ns = moment->now_ns;
	frame->final = topic->over != NULL;
	history_add(&topic->history, frame);
	frame_drop(frame); /* the history has it */
	topics->frames_total++;
	return frame;
}
