/* SPDX-License-Identifier: MIT */
/*
 * model_snapshot.c - the log of snapshots under C11's memory model: the agent's snapshot_log.c
 * publishes documents round and round, the library's snapshot.c copies the newest one and must
 * see that it was overtaken. See model.h; build/ci/tests/model_snapshot runs it.
 *
 * memmove(3) and memcpy(3) to and from the log, and pread(2), are relaxed accesses of its words.
 */
/* For newest_copy(): shmbus_snapshot_read() would look at files.
 * NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "snapshot.c"

#include "model.h"
#include "snapshot_log.h"

#define LOG_SIZE 256u
#define DOCUMENTS 4u
#define DOCUMENT_WORDS 4u

struct shared {
	struct shmbus_snapshot_header header;
	_Atomic(uint64_t) words[LOG_SIZE / 8];
};

static struct shared *const shared = (struct shared *)(void *)model_memory;
static struct snapshot_log snapshots;
static struct shmbus_snapshot_reader reader;

static bool is_shared(const void *address)
{
	return (uintptr_t)address - (uintptr_t)model_memory < MODEL_MEMORY;
}

void *model_memmove(void *to, const void *from, size_t size);

void *model_memmove(void *to, const void *from, size_t size)
{
	const struct model_site site = {"memmove", 0};
	uint64_t words[LOG_SIZE / 8];

	if (!is_shared(to) && !is_shared(from))
		return __builtin_memcpy(to, from, size);
	if (!is_shared(to)) {
		model_copy(to, from, size);
		return to;
	}
	if (is_shared(from))
		model_copy(words, from, size);
	else
		__builtin_memcpy(words, from, size);
	for (size_t i = 0; i < size / 8; i++)
		model_store((uint64_t *)to + i, words[i], MODEL_RELAXED, site);
	return to;
}

/* What snapshot.c calls in the place of pread(2). */
ssize_t model_pread(int fd, void *out, size_t size, off_t offset);

ssize_t model_pread(int fd, void *out, size_t size, off_t offset)
{
	size_t left = sizeof *shared - (size_t)offset;

	(void)fd;
	if (offset % 8 != 0)
		return 0; /* no item lies there */
	size = size < left ? size : left;
	model_copy(out, (const uint8_t *)shared + offset, size);
	return (ssize_t)size;
}

/* A document holds its own number, in each of its words. */
static void publish(uint64_t number, uint64_t position)
{
	struct shmbus_snapshot_extent extent = {position, DOCUMENT_WORDS * 8};

	model_check(snapshot_log_publish(&snapshots, &extent, 1, number, number, number) == 0,
		    "published");
}

static uint64_t append(uint64_t number)
{
	uint64_t document[DOCUMENT_WORDS];

	for (uint32_t i = 0; i < DOCUMENT_WORDS; i++)
		document[i] = number;
	return snapshot_log_append(&snapshots, document, sizeof document);
}

static void begin(void)
{
	for (size_t i = 0; i < LOG_SIZE / 8; i++)
		model_atomic(&shared->words[i]);
	model_atomic(&shared->header.index);
	model_atomic(&shared->header.reclaimed);
	snapshots = (struct snapshot_log){
		.header = &shared->header,
		.bytes = (uint8_t *)shared->words,
		.size = LOG_SIZE,
		.position = SHMBUS_LINE_SIZE,
		.placed = true,
	};
	reader.log_offset = offsetof(struct shared, words);
	reader.log_size = LOG_SIZE;
	publish(1, append(1)); /* without one a look is over before it can be disturbed */
}

static void publish_all(void)
{
	for (uint64_t number = 2; number <= DOCUMENTS; number++)
		publish(number, append(number));
}

/* Documents fail in between, over more of the log than the next one takes. */
static void publish_some(void)
{
	for (uint64_t number = 2; number <= DOCUMENTS; number++) {
		snapshot_log_begin(&snapshots);
		for (uint32_t i = 0; i < 3; i++)
			append(UINT64_MAX);
		snapshot_log_undo(&snapshots);
		publish(number, append(number));
	}
}

/* Returns the number of the document, 0 for none. */
static uint64_t look(void)
{
	struct shmbus_snapshot_index index;
	int error = newest_copy(&reader, &index);
	const uint64_t *words = (const uint64_t *)(const void *)reader.document;

	model_check(error == 0 || error == -EAGAIN, "nothing is damaged");
	if (error != 0)
		return 0;
	model_check(index.document_size == DOCUMENT_WORDS * 8, "the index is whole");
	for (uint32_t i = 0; i < DOCUMENT_WORDS; i++)
		model_check(words[i] == index.seq, "the document is whole");
	return index.seq;
}

static void read_all(void)
{
	uint64_t before = 0;

	for (int i = 0; i < 3; i++) {
		uint64_t number = look();

		model_check(number == 0 || number >= before, "never an older one");
		if (number != 0)
			before = number;
	}
}

static void newest(void)
{
	model_check(look() == DOCUMENTS, "the newest one at the end");
}

const struct model_case model_cases[] = {
	{"documents round and round", begin, {publish_all, read_all}, newest},
	{"documents undone", begin, {publish_some, read_all}, newest},
};
const size_t model_case_count = sizeof model_cases / sizeof model_cases[0];

const struct model_edge model_edges[] = {
	{"R-index", "snapshot_log_publish", MODEL_RELEASE},
	{"A-index", "document_try", MODEL_ACQUIRE},
	{"R-reclaim", "room_take", MODEL_RELEASE},
	{"A-reclaim", "intact", MODEL_ACQUIRE},
};
const size_t model_edge_count = sizeof model_edges / sizeof model_edges[0];

const uint64_t model_executions = 300000;
