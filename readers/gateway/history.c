/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "history.h"

/* ---- frames ---- */

struct frame *frame_new(enum frame_type type, struct body *body)
{
	struct frame *frame = body->failed ? NULL : calloc(1, sizeof *frame);

	if (frame == NULL) {
		body_free(body);
		return NULL;
	}
	frame->references = 1;
	frame->type = type;
	frame->size = body->size;
	frame->text = body->data;
	/* It may stay for a minute: what the body had in reserve goes back. */
	if (body->capacity - body->size > body->size / 8) {
		char *text = realloc(body->data, body->size != 0 ? body->size : 1);

		if (text != NULL)
			frame->text = text;
	}
	*body = BODY_EMPTY;
	return frame;
}

struct frame *frame_share(struct frame *frame)
{
	frame->references++;
	return frame;
}

void frame_drop(struct frame *frame)
{
	if (frame == NULL || --frame->references != 0)
		return;
	free(frame->text);
	free(frame);
}

/* ---- the history ---- */

static struct frame *at(const struct history *history, size_t i)
{
	return history->frames[(history->first + i) % HISTORY_FRAMES_MAX];
}

static void oldest_drop(struct history *history)
{
	struct frame *frame = history->frames[history->first];

	*history->bytes -= frame->size;
	frame_drop(frame);
	history->first = (history->first + 1) % HISTORY_FRAMES_MAX;
	history->count--;
}

void history_add(struct history *history, struct frame *frame)
{
	if (history->count == HISTORY_FRAMES_MAX)
		oldest_drop(history);
	history->frames[(history->first + history->count++) % HISTORY_FRAMES_MAX] =
		frame_share(frame);
	*history->bytes += frame->size;
	while (*history->bytes > HISTORY_BYTES_MAX && history->count > 1)
		oldest_drop(history);
}

void history_clear(struct history *history)
{
	while (history->count != 0)
		oldest_drop(history);
}

struct frame *history_newest(const struct history *history)
{
	return history->count != 0 ? at(history, history->count - 1) : NULL;
}

static void resume_add(struct resume *out, struct frame *frame, uint64_t gap)
{
	out->gaps[out->count] = gap;
	out->frames[out->count++] = frame;
	out->missed = frame->missed;
	out->time_ns = frame->time_ns;
}

bool history_after(const struct history *history, uint64_t last, uint64_t interval_ns,
		   uint64_t slack_ns, struct resume *out)
{
	struct frame *newest = history_newest(history);
	size_t next = 0;

	out->count = 0;
	if (newest == NULL || newest->seq < last)
		return false;
	while (next < history->count && at(history, next)->seq <= last)
		next++;
	if (next == 0) {
		bool whole = at(history, 0)->seq - last == 1;

		resume_add(out, whole ? at(history, 0) : newest,
			   whole ? 0 : newest->seq - last - 1);
		next = whole ? 1 : history->count;
	} else {
		out->missed = at(history, next - 1)->missed;
		out->time_ns = at(history, next - 1)->time_ns;
	}
	for (; next < history->count; next++) {
		struct frame *frame = at(history, next);

		if (frame->final || frame->time_ns - out->time_ns + slack_ns >= interval_ns)
			resume_add(out, frame, frame->missed - out->missed);
	}
	return true;
}
