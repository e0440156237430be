/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "stored_check.h"

#define DOCUMENT_DEPTH_MAX 16u /* a document has half as many levels */

static bool text_sound(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool name_sound(const char *name, size_t size)
{
	return name[0] != '\0' && text_sound(name, size);
}

bool stored_session_sound(const struct stored_session *identity, const char *bus)
{
	const struct shmbus_header *header = &identity->header;
	char segment[sizeof identity->segment];

	snprintf(segment, sizeof segment, "/" SHMBUS_PREFIX "%s." SHMBUS_SEGMENT_INFIX "%016llx",
		 bus, (unsigned long long)identity->key);
	return identity->key != 0 &&
	       strncmp(segment, identity->segment, sizeof identity->segment) == 0 &&
	       name_sound(header->id, sizeof header->id) &&
	       name_sound(header->service, sizeof header->service) &&
	       header->writers_capacity != 0 && header->writers_capacity <= SHMBUS_WRITERS_MAX &&
	       header->metrics_capacity <= SHMBUS_METRICS_MAX &&
	       header->derived_capacity <= SHMBUS_DERIVED_MAX;
}

/* ---- a session's state ---- */

/* Every record that was read is a sample or a control. */
static bool writer_sound(const struct stored_writer *writer)
{
	const struct writer_account *account = &writer->account;

	return text_sound(writer->name.text, sizeof writer->name.text) &&
	       account->before + account->aggregated + account->controls == writer->position;
}

static bool derived_sound(const struct shmbus_derived_entry *entry)
{
	uint32_t operands = (uint32_t)entry->numerator_count + entry->denominator_count;

	return name_sound(entry->name, sizeof entry->name) &&
	       operands <= SHMBUS_DERIVED_OPERANDS_MAX && entry->numerator_count != 0 &&
	       entry->denominator_count != 0 &&
	       (entry->rule == SHMBUS_DERIVE_RATIO || entry->rule == SHMBUS_DERIVE_REMAINDER) &&
	       entry->scale > -1e300 && entry->scale < 1e300;
}

static bool parts_sound(const struct stored_state *stored)
{
	const struct stored_writer *writers = (const void *)(stored + 1);
	const struct shmbus_derived_entry *derived = (const void *)(writers + stored->writer_count);
	const struct shmbus_consumer_label *labels =
		(const void *)(derived + stored->derived_count);

	for (uint32_t i = 0; i < stored->writer_count; i++)
		if (!writer_sound(&writers[i]))
			return false;
	for (uint32_t i = 0; i < stored->derived_count; i++)
		if (!derived_sound(&derived[i]))
			return false;
	for (uint32_t i = 0; i < stored->label_count; i++)
		if (!text_sound(labels[i].key, sizeof labels[i].key) ||
		    !text_sound(labels[i].value, sizeof labels[i].value))
			return false;
	return true;
}

bool stored_state_sound(const struct stored_state *stored, uint32_t size,
			const struct shmbus_header *header)
{
	return size >= sizeof *stored && stored->writer_count <= header->writers_capacity &&
	       stored->metric_count <= header->metrics_capacity &&
	       stored->derived_count <= header->derived_capacity &&
	       stored->label_count <= SHMBUS_LABELS_MAX &&
	       size == sizeof *stored + stored->writer_count * sizeof(struct stored_writer) +
			       stored->derived_count * sizeof(struct shmbus_derived_entry) +
			       stored->label_count * sizeof(struct shmbus_consumer_label) &&
	       stored->state <= SESSION_LOST && text_sound(stored->reason, sizeof stored->reason) &&
	       parts_sound(stored);
}

/* ---- metrics ---- */

bool stored_descriptor_sound(const struct stored_descriptor *descriptor)
{
	const struct shmbus_metric_entry *entry = &descriptor->entry;
	uint32_t window_size = descriptor->window_size;

	if (!name_sound(entry->name, sizeof entry->name) ||
	    !text_sound(entry->unit, sizeof entry->unit) ||
	    !text_sound(entry->stage, sizeof entry->stage) ||
	    !text_sound(entry->help, sizeof entry->help) ||
	    !text_sound(entry->text, sizeof entry->text))
		return false;
	if (entry->kind < SHMBUS_TIMER || entry->kind > SHMBUS_INFO ||
	    entry->merge > SHMBUS_MERGE_MEAN || entry->target_quantile_ppm >= 1000000 ||
	    (entry->real != 0 && entry->kind != SHMBUS_GAUGE))
		return false;
	if (entry->kind != SHMBUS_TIMER)
		return window_size == 0;
	return window_size >= 1 && window_size <= WINDOW_SIZE_MAX;
}

/* Buckets are below, each has its samples, and their sum is the count. */
static bool buckets_sound(const struct stored_series *stored)
{
	const uint64_t *buckets = (const uint64_t *)(stored + 1);
	uint64_t left = stored->lifetime.count;

	if (stored->zero_count > left)
		return false;
	left -= stored->zero_count;
	for (uint32_t i = 0; i < stored->length; i++) {
		if (buckets[i] > left)
			return false;
		left -= buckets[i];
	}
	return left == 0;
}

bool stored_series_sound(const struct stored_series *stored, uint32_t size, uint32_t window_size)
{
	const struct lifetime *lifetime = &stored->lifetime;
	const struct deadline *deadline = &stored->deadline;

	if (size < sizeof *stored || stored->length > HISTOGRAM_LENGTH_MAX ||
	    stored->first > HISTOGRAM_LENGTH_MAX - stored->length ||
	    size - sizeof *stored < stored->length * sizeof(uint64_t))
		return false;
	if (stored->next >= window_size ||
	    (stored->folded < window_size && stored->next != stored->folded))
		return false;
	return buckets_sound(stored) && (lifetime->count == 0 || lifetime->min <= lifetime->max) &&
	       stored->violations <= lifetime->count && deadline->misses <= lifetime->count &&
	       deadline->run <= deadline->run_max && deadline->run_max <= deadline->misses;
}

/* ---- documents ---- */

struct bytes {
	const uint8_t *at;
	uint64_t left;
};

static bool bytes_skip(struct bytes *bytes, uint64_t size)
{
	if (size > bytes->left)
		return false;
	bytes->at += size;
	bytes->left -= size;
	return true;
}

/* A big-endian number of 1, 2 or 4 bytes. */
static bool number_take(struct bytes *bytes, uint32_t width, uint64_t *out)
{
	if (width > bytes->left)
		return false;
	*out = 0;
	for (uint32_t i = 0; i < width; i++)
		*out = *out << 8 | bytes->at[i];
	return bytes_skip(bytes, width);
}

/* Skips the head of an object, and its bytes where it has no parts. Types that no document has
 * (binary, extensions, the one that is never used) are refused. */
static bool head_skip(struct bytes *bytes, uint64_t *parts)
{
	uint64_t head, size = 0;

	*parts = 0;
	if (!number_take(bytes, 1, &head))
		return false;
	if (head < 0x80 || head >= 0xe0 || head == 0xc2 || head == 0xc3)
		return true;
	if (head < 0xa0) {
		*parts = head < 0x90 ? 2 * (head & 15) : head & 15;
		return true;
	}
	if (head < 0xc0)
		return bytes_skip(bytes, head & 31);
	if (head == 0xca || head == 0xcb)
		return bytes_skip(bytes, head == 0xca ? 4 : 8);
	if (head >= 0xcc && head <= 0xd3)
		return bytes_skip(bytes, UINT64_C(1) << (head & 3));
	if (head >= 0xd9 && head <= 0xdb)
		return number_take(bytes, 1u << (head - 0xd9), &size) && bytes_skip(bytes, size);
	if (head < 0xdc || !number_take(bytes, head & 1 ? 4 : 2, &size))
		return false;
	*parts = head < 0xde ? size : 2 * size;
	return true;
}

bool stored_document_sound(const void *document, uint64_t size, uint64_t objects)
{
	struct bytes bytes = {document, size};
	uint64_t left[DOCUMENT_DEPTH_MAX] = {objects};
	uint32_t depth = 0;

	for (;;) {
		uint64_t parts;

		while (left[depth] == 0) {
			if (depth-- == 0)
				return bytes.left == 0;
		}
		left[depth]--;
		if (!head_skip(&bytes, &parts))
			return false;
		if (parts == 0)
			continue;
		if (++depth == DOCUMENT_DEPTH_MAX)
			return false;
		left[depth] = parts;
	}
}
