/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdio.h>

#include "outbox.h"

static const char tail[] = "\n\n"; /* of an event */

static struct outbox_entry *entry_at(struct outbox *outbox, size_t i)
{
	return &outbox->entries[(outbox->first + i) % OUTBOX_SIZE];
}

static void put(struct outbox *outbox, struct frame *frame, uint64_t gap, bool replay)
{
	*entry_at(outbox, outbox->count++) = (struct outbox_entry){frame_share(frame), gap, replay};
	if (replay)
		return;
	outbox->behind++;
	outbox->behind_bytes += frame->size;
}

static void forget(struct outbox *outbox, const struct outbox_entry *entry)
{
	if (!entry->replay) {
		outbox->behind--;
		outbox->behind_bytes -= entry->frame->size;
	}
	frame_drop(entry->frame);
	outbox->count--;
}

bool outbox_add(struct outbox *outbox, struct frame *frame, uint64_t gap)
{
	/* One that waits beside the one that is being sent is no sign of slowness. */
	if (outbox->behind >= OUTBOX_FRAMES_MAX ||
	    (outbox->behind > 1 && outbox->behind_bytes + frame->size > OUTBOX_BYTES_MAX))
		return false;
	put(outbox, frame, gap, false);
	return true;
}

void outbox_replay(struct outbox *outbox, struct frame *frame, uint64_t gap)
{
	if (outbox->count < HISTORY_FRAMES_MAX)
		put(outbox, frame, gap, true);
}

void outbox_farewell(struct outbox *outbox, struct frame *frame, bool only)
{
	while (only && outbox->count > (outbox_within(outbox) ? 1 : 0))
		forget(outbox, entry_at(outbox, outbox->count - 1));
	if (outbox->count == 0)
		outbox->begun = false;
	if (outbox->count < OUTBOX_SIZE)
		put(outbox, frame, 0, false);
}

void outbox_clear(struct outbox *outbox)
{
	while (outbox->count != 0)
		forget(outbox, entry_at(outbox, outbox->count - 1));
	outbox->begun = false;
	outbox->sent = 0;
}

/* ---- sending ---- */

static void begin(struct outbox *outbox)
{
	const struct outbox_entry *entry = entry_at(outbox, 0);
	const struct frame *frame = entry->frame;
	char head[FRAME_HEAD_SIZE], id[32] = "";
	int length;

	frame_head(head, frame->type, frame->seq, entry->gap, frame->final);
	if (frame_numbered(frame->type))
		snprintf(id, sizeof id, "id: %" PRIu64 "\n", frame->seq);
	if (outbox->wire == WIRE_SSE)
		length = snprintf(outbox->head, sizeof outbox->head, "event: %s\n%sdata: %s",
				  frame_type_name(frame->type), id, head);
	else
		length = snprintf(outbox->head, sizeof outbox->head, "%s", head);
	outbox->head_size = (size_t)length;
	outbox->sent = 0;
	outbox->begun = true;
}

static size_t tail_size(const struct outbox *outbox)
{
	return outbox->wire == WIRE_SSE ? sizeof tail - 1 : 0;
}

size_t outbox_frame_size(const struct outbox *outbox)
{
	return outbox->head_size + outbox->entries[outbox->first].frame->size + tail_size(outbox);
}

size_t outbox_next(struct outbox *outbox, const char **data)
{
	const struct frame *frame;
	size_t sent;

	if (outbox->count == 0)
		return 0;
	if (!outbox->begun)
		begin(outbox);
	frame = entry_at(outbox, 0)->frame;
	sent = outbox->sent;
	if (sent < outbox->head_size) {
		*data = outbox->head + sent;
		return outbox->head_size - sent;
	}
	sent -= outbox->head_size;
	if (sent < frame->size) {
		*data = frame->text + sent;
		return frame->size - sent;
	}
	sent -= frame->size;
	*data = tail + sent;
	return tail_size(outbox) - sent;
}

void outbox_sent(struct outbox *outbox, size_t size)
{
	outbox->sent += size;
	if (outbox->sent < outbox_frame_size(outbox))
		return;
	forget(outbox, entry_at(outbox, 0));
	outbox->first = (outbox->first + 1) % OUTBOX_SIZE;
	outbox->begun = false;
	outbox->sent = 0;
}
