/* SPDX-License-Identifier: MIT */
/*
 * label.c - labels: the one table that is rewritten in place, under a sequence lock, because a
 * label may change while the session runs.
 */
#include <errno.h>
#include <string.h>

#include "internal.h"

union label {
	struct {
		char key[SHMBUS_LABEL_KEY_SIZE];
		char value[SHMBUS_LABEL_VALUE_SIZE];
	} text;
	uint64_t words[SHMBUS_LABEL_WORDS];
};

static struct shmbus_label_entry *label_entry(struct shmbus_session *session, uint32_t i)
{
	char *base = (char *)session->header + session->header->labels_offset;

	return (struct shmbus_label_entry *)base + i;
}

static void label_load(struct shmbus_session *session, uint32_t i, union label *out)
{
	struct shmbus_label_entry *entry = label_entry(session, i);

	for (size_t w = 0; w < SHMBUS_LABEL_WORDS; w++)
		out->words[w] = atomic_load_explicit(&entry->words[w], memory_order_relaxed);
}

/*
 * Writes one entry under the sequence lock. The words are stored with release, so that whoever
 * sees one of them also sees that the sequence is odd; the agent's side is in consumer.c.
 */
static void label_store(struct shmbus_session *session, uint32_t i, const union label *label)
{
	struct shmbus_header *header = session->header;
	struct shmbus_label_entry *entry = label_entry(session, i);
	uint32_t sequence = atomic_load_explicit(&header->labels_sequence, memory_order_relaxed);

	atomic_store_explicit(&header->labels_sequence, sequence + 1, memory_order_relaxed);
	for (size_t w = 0; w < SHMBUS_LABEL_WORDS; w++)
		/* R-label release: after the odd sequence; pairs with A-label. */
		atomic_store_explicit(&entry->words[w], label->words[w], memory_order_release);
	/* R-labels release: after the words; pairs with A-labels. */
	atomic_store_explicit(&header->labels_sequence, sequence + 2, memory_order_release);
}

/* The entry of a key, else a free one, else -1. */
static int label_find(struct shmbus_session *session, const char *key)
{
	int free_entry = -1;
	union label label;

	for (uint32_t i = 0; i < SHMBUS_LABELS_MAX; i++) {
		label_load(session, i, &label);
		if (strcmp(label.text.key, key) == 0)
			return (int)i;
		if (label.text.key[0] == '\0' && free_entry < 0)
			free_entry = (int)i;
	}
	return free_entry;
}

static int label_put(struct shmbus_session *session, const char *key, const char *value)
{
	union label label = {0};
	int i = label_find(session, key);

	if (i < 0)
		return shmbus__fail(-ENOSPC, "a session has at most %u labels", SHMBUS_LABELS_MAX);
	if (value != NULL) {
		snprintf(label.text.key, sizeof label.text.key, "%s", key);
		snprintf(label.text.value, sizeof label.text.value, "%s", value);
	}
	label_store(session, (uint32_t)i, &label);
	return 0;
}

int shmbus__labels_init(struct shmbus_session *session, const struct shmbus_label *labels,
			size_t count)
{
	int error = 0;

	for (size_t i = 0; i < count && error == 0; i++)
		error = label_put(session, labels[i].key, labels[i].value);
	return error;
}

int shmbus_label_set(struct shmbus_session *session, const char *key, const char *value)
{
	int error = shmbus__label_check(key, value);

	if (error != 0 || session->header == NULL || session->orphan)
		return error;
	pthread_mutex_lock(&session->lock);
	error = label_put(session, key, value);
	if (error == 0)
		shmbus__changed(session);
	pthread_mutex_unlock(&session->lock);
	return error;
}
