/* SPDX-License-Identifier: MIT */
/* consumer.c - attach to a segment that may say anything, and believe nothing unchecked. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmbus/consumer.h>

#include "clock_private.h"
#include "internal.h"

#define PAGES_MAX_SIZE (1u << 30)
#define WHOLE_MAX_SIZE (UINT64_C(1) << 26) /* of a segment that is mapped in one piece */

__attribute__((format(printf, 3, 4))) static int refuse(struct shmbus_consumer *consumer, int error,
							const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(consumer->reason, sizeof consumer->reason, format, arguments);
	va_end(arguments);
	return error;
}

/* Copies bytes of the segment. A file that ends before them is an error like another. */
static int copy(struct shmbus_consumer *consumer, uint64_t offset, void *out, size_t size)
{
	ssize_t got;

	do
		got = pread(consumer->fd, out, size, (off_t)offset);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return refuse(consumer, -errno, "cannot read: %s", strerror(errno));
	if ((size_t)got != size)
		return refuse(consumer, -EBADMSG, "cut short at offset %llu",
			      (unsigned long long)offset);
	return 0;
}

static int copy_field(struct shmbus_consumer *consumer, size_t offset, uint32_t *out)
{
	return copy(consumer, offset, out, sizeof *out);
}

/* Ends a string and replaces what a terminal or a label value must not hold. */
static void text_clean(char *text, size_t size)
{
	text[size - 1] = '\0';
	if (shmbus__utf8_printable(text))
		return;
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
			*c = '?';
}

static bool name_valid(const char *name, size_t size)
{
	return memchr(name, '\0', size) != NULL && shmbus__name_check("name", name, size) == 0;
}

/* ---- attach ---- */

static int file_open(struct shmbus_consumer *consumer)
{
	struct stat status;
	int error;

	/* O_NONBLOCK: a FIFO under the name must not make the agent wait. */
	consumer->fd = shm_open(consumer->segment, O_RDWR | O_NONBLOCK, 0);
	if (consumer->fd < 0)
		return refuse(consumer, -errno, "cannot open: %s", strerror(errno));
	if (fstat(consumer->fd, &status) != 0)
		error = refuse(consumer, -errno, "cannot stat: %s", strerror(errno));
	else if (!S_ISREG(status.st_mode))
		error = refuse(consumer, -EBADMSG, "not a regular file");
	else if (status.st_nlink > 1)
		error = refuse(consumer, -EBADMSG, "has %lu names", (unsigned long)status.st_nlink);
	else
		error = 0;
	if (error != 0) {
		close(consumer->fd);
		return error;
	}
	consumer->uid = status.st_uid;
	consumer->gid = status.st_gid;
	consumer->mode = status.st_mode & 07777;
	consumer->device = status.st_dev;
	consumer->inode = status.st_ino;
	consumer->segment_size = (uint64_t)status.st_size;
	return 0;
}

/* A table must have a stride that holds what this version knows, and lie before the heads. */
static bool table_valid(const struct shmbus_header *header, uint32_t offset, uint32_t stride,
			uint32_t capacity, uint32_t size, uint32_t capacity_max)
{
	uint64_t end = (uint64_t)offset + (uint64_t)stride * capacity;

	return offset >= header->header_size && offset % 8 == 0 && stride % 8 == 0 &&
	       stride >= size && stride <= 65536 && capacity <= capacity_max &&
	       end <= header->heads_offset;
}

static const char *geometry_fault(const struct shmbus_consumer *consumer)
{
	const struct shmbus_header *h = &consumer->header;
	uint64_t heads_end = h->heads_offset + (uint64_t)h->heads_stride * h->writers_capacity;

	if (h->header_size < sizeof *h || h->header_size % 8 != 0 || h->header_size > 65536)
		return "header size";
	if (h->page_size != shmbus__page_size())
		return "page size";
	if (h->heads_offset % h->page_size != 0 || h->heads_offset == 0 ||
	    h->heads_stride != sizeof(struct shmbus_head) || heads_end > consumer->segment_size)
		return "place of the heads";
	if (!table_valid(h, h->labels_offset, h->labels_stride, h->labels_capacity,
			 sizeof(struct shmbus_label_entry), SHMBUS_LABELS_MAX) ||
	    h->labels_stride != sizeof(struct shmbus_label_entry))
		return "place of the labels";
	if (!table_valid(h, h->derived_offset, h->derived_stride, h->derived_capacity,
			 sizeof(struct shmbus_derived_entry), SHMBUS_DERIVED_MAX))
		return "place of the derived values";
	if (!table_valid(h, h->writers_offset, h->writers_stride, h->writers_capacity,
			 sizeof(struct shmbus_writer_entry), SHMBUS_WRITERS_MAX) ||
	    h->writers_capacity == 0)
		return "place of the writers";
	if (!table_valid(h, h->metrics_offset, h->metrics_stride, h->metrics_capacity,
			 sizeof(struct shmbus_metric_entry), SHMBUS_METRICS_MAX))
		return "place of the metrics";
	return NULL;
}

static const char *identity_fault(const struct shmbus_header *h)
{
	if (h->clock_source < SHMBUS_CLOCK_MONOTONIC || h->clock_source > SHMBUS_CLOCK_INJECTED)
		return "clock source";
	if (h->clock_source == SHMBUS_CLOCK_INJECTED &&
	    (h->tick_hz == 0 || h->tick_hz > SHMBUS__TICK_HZ_MAX))
		return "tick rate";
	if (!name_valid(h->service, sizeof h->service))
		return "service name";
	if (h->id[0] == '\0')
		return "session id";
	return NULL;
}

static int header_read(struct shmbus_consumer *consumer)
{
	uint32_t version;
	const char *fault;
	int error;

	if (consumer->segment_size == 0)
		return refuse(consumer, -EAGAIN, "still being made");
	error = copy_field(consumer, offsetof(struct shmbus_header, version), &version);
	if (error != 0)
		return error;
	if (version == 0)
		return refuse(consumer, -EAGAIN, "still being made");
	if (version >> 16 != SHMBUS_LAYOUT_MAJOR)
		return refuse(consumer, -EPROTO,
			      "layout version %u.%u; this agent reads %u.x: upgrade the older one",
			      version >> 16, version & 0xffffu, SHMBUS_LAYOUT_MAJOR);
	/* A-version acquire: what follows is at least as new; pairs with R-version. */
	atomic_thread_fence(memory_order_acquire);
	error = copy(consumer, 0, &consumer->header, sizeof consumer->header);
	if (error != 0)
		return error;
	if (consumer->header.magic != SHMBUS_MAGIC)
		return refuse(consumer, -EBADMSG, "not a shmbus segment (magic number)");
	fault = geometry_fault(consumer);
	if (fault == NULL)
		fault = identity_fault(&consumer->header);
	if (fault != NULL)
		return refuse(consumer, -EBADMSG, "header: %s is nonsense", fault);
	text_clean(consumer->header.id, sizeof consumer->header.id);
	return 0;
}

/* Of the segment all that is there already, to be read; of one that says it is huge the first page
 * alone. The heads, which are written, are mapped apart. */
static int header_map(struct shmbus_consumer *consumer)
{
	const struct shmbus_header *header = &consumer->header;
	size_t page = header->page_size;
	void *live, *heads;

	consumer->live_size = page;
	if (consumer->segment_size > page && consumer->segment_size <= WHOLE_MAX_SIZE)
		consumer->live_size = (size_t)(consumer->segment_size / page * page);
	consumer->heads_size =
		((size_t)header->heads_stride * header->writers_capacity + page - 1) / page * page;
	live = mmap(NULL, consumer->live_size, PROT_READ, MAP_SHARED, consumer->fd, 0);
	if (live == MAP_FAILED)
		return refuse(consumer, -errno, "cannot map: %s", strerror(errno));
	heads = mmap(NULL, consumer->heads_size, PROT_READ | PROT_WRITE, MAP_SHARED, consumer->fd,
		     (off_t)header->heads_offset);
	if (heads == MAP_FAILED) {
		int error = refuse(consumer, -errno, "cannot map: %s", strerror(errno));

		munmap(live, consumer->live_size);
		return error;
	}
	consumer->live = live;
	consumer->heads = heads;
	return 0;
}

static int writers_map(struct shmbus_consumer *consumer, uint32_t count);

int shmbus_consumer_attach(struct shmbus_consumer *consumer, const char *segment)
{
	int error;

	memset(consumer, 0, sizeof *consumer);
	snprintf(consumer->segment, sizeof consumer->segment, "%s", segment);
	error = file_open(consumer);
	if (error != 0)
		return error;
	error = header_read(consumer);
	if (error == 0)
		error = header_map(consumer);
	if (error != 0) {
		close(consumer->fd);
		return error;
	}
	/* relaxed: a copy; writers_map() has the fence behind its reading. */
	error = writers_map(consumer, atomic_load_explicit(&consumer->header.writer_count,
							   memory_order_relaxed));
	if (error != 0)
		shmbus_consumer_detach(consumer);
	return error;
}

/* ---- writers ---- */

/* A block is there before its entry is: one that is not has been taken away, or never was. */
static bool writer_cut(const struct shmbus_consumer *consumer,
		       const struct shmbus_writer_entry *entry)
{
	return entry->offset > consumer->segment_size ||
	       entry->size > consumer->segment_size - entry->offset;
}

static const char *writer_fault(const struct shmbus_consumer *consumer,
				const struct shmbus_writer_entry *entry)
{
	const struct shmbus_header *header = &consumer->header;
	uint64_t page = header->page_size;
	uint64_t ring_end = entry->ring_offset + (uint64_t)entry->capacity * 16;
	uint64_t slots_end = entry->slots_offset + (uint64_t)entry->slot_count * 8;

	if (entry->capacity < SHMBUS_RING_MIN || entry->capacity > SHMBUS_RING_MAX ||
	    (entry->capacity & (entry->capacity - 1)) != 0)
		return "ring capacity";
	/* Blocks stand one after the other: in those that overlap, few bytes would make many
	 * samples. */
	if (entry->offset % page != 0 || entry->size % page != 0 || entry->size > PAGES_MAX_SIZE ||
	    entry->offset < header->heads_offset + consumer->heads_size ||
	    entry->offset < consumer->blocks_end)
		return "place of the block";
	/* To read a hole is to allocate it, at the agent's cost. */
	if (entry->offset + entry->size > consumer->allocated)
		return "memory of the block";
	if (entry->slot_count != header->metrics_capacity + 1 || entry->slots_offset % 8 != 0 ||
	    entry->slots_offset < sizeof(struct shmbus_writer_block) || slots_end > entry->size)
		return "place of the slots";
	if (entry->ring_offset % SHMBUS_LINE_SIZE != 0 || entry->ring_offset < slots_end ||
	    ring_end > entry->size)
		return "place of the ring";
	if (!name_valid(entry->name, sizeof entry->name))
		return "name";
	return NULL;
}

static int writer_judge(struct shmbus_consumer *consumer, uint32_t number,
			const struct shmbus_writer_entry *entry)
{
	const char *fault;

	if (writer_cut(consumer, entry))
		return refuse(consumer, -EBADMSG, "writer %u: block cut short at offset %llu",
			      number, (unsigned long long)consumer->segment_size);
	fault = writer_fault(consumer, entry);
	return fault == NULL
		       ? 0
		       : refuse(consumer, -EBADMSG, "writer %u: %s is nonsense", number, fault);
}

/* The head is read like the tables: a load from its mapping could raise SIGBUS, and who attaches
 * stands under no guard. */
static int writer_map(struct shmbus_consumer *consumer, const struct shmbus_writer_entry *entry)
{
	const struct shmbus_header *header = &consumer->header;
	uint32_t number = consumer->writer_count;
	struct shmbus_consumer_writer *writer;
	uint64_t position;
	bool apart = entry->offset + entry->size > consumer->live_size;
	const char *block = (const char *)consumer->live + entry->offset;
	int error = copy(consumer, header->heads_offset + (uint64_t)header->heads_stride * number,
			 &position, sizeof position);

	if (error != 0)
		return error;
	writer = malloc(sizeof *writer);
	if (writer == NULL)
		return refuse(consumer, -ENOMEM, "no memory for a writer");
	if (apart)
		block = mmap(NULL, entry->size, PROT_READ, MAP_SHARED, consumer->fd,
			     (off_t)entry->offset);
	if (block == MAP_FAILED) {
		error = -errno;
		free(writer);
		return refuse(consumer, error, "cannot map a writer: %s", strerror(-error));
	}
	*writer = (struct shmbus_consumer_writer){
		.size = entry->size,
		.apart = apart,
		.block = (const struct shmbus_writer_block *)block,
		.slots = (const _Atomic(uint64_t) *)(block + entry->slots_offset),
		.slot_count = entry->slot_count,
		.capacity = entry->capacity,
		.head = &consumer->heads[number].position,
		.ring =
			{
				.slots = (const struct shmbus_slot *)(block + entry->ring_offset),
				.mask = entry->capacity - 1,
				.order = (uint32_t)__builtin_ctz(entry->capacity),
				.position = position,
			},
	};
	memcpy(writer->name, entry->name, sizeof writer->name);
	consumer->blocks_end = entry->offset + entry->size;
	consumer->writers[consumer->writer_count++] = writer;
	return 0;
}

static int segment_size_update(struct shmbus_consumer *consumer)
{
	struct stat status;

	if (fstat(consumer->fd, &status) != 0)
		return refuse(consumer, -errno, "cannot stat: %s", strerror(errno));
	consumer->segment_size = (uint64_t)status.st_size;
	consumer->allocated = (uint64_t)status.st_blocks * 512;
	return 0;
}

/* Maps writers until they are `count`, a number that was just read. */
static int writers_map(struct shmbus_consumer *consumer, uint32_t count)
{
	const struct shmbus_header *header = &consumer->header;
	int error;

	if (count == consumer->writer_count)
		return 0;
	/* A-writer acquire: the entries below count are whole; pairs with R-writer. */
	atomic_thread_fence(memory_order_acquire);
	if (count > header->writers_capacity)
		return refuse(consumer, -EBADMSG, "%u writers of at most %u", count,
			      header->writers_capacity);
	error = segment_size_update(consumer);
	while (error == 0 && consumer->writer_count < count) {
		uint32_t number = consumer->writer_count;
		struct shmbus_writer_entry entry;

		error = copy(consumer,
			     header->writers_offset + (uint64_t)header->writers_stride * number,
			     &entry, sizeof entry);
		if (error != 0)
			break;
		error = writer_judge(consumer, number, &entry);
		if (error == 0)
			error = writer_map(consumer, &entry);
	}
	return error;
}

int shmbus_consumer_writers_update(struct shmbus_consumer *consumer)
{
	uint32_t count;
	int error = copy_field(consumer, offsetof(struct shmbus_header, writer_count), &count);

	return error != 0 ? error : writers_map(consumer, count);
}

/* ---- tables ---- */

int shmbus_consumer_counts(struct shmbus_consumer *consumer, uint32_t *metrics, uint32_t *derived)
{
	int error = copy_field(consumer, offsetof(struct shmbus_header, metric_count), metrics);

	if (error == 0)
		error = copy_field(consumer, offsetof(struct shmbus_header, derived_count),
				   derived);
	if (error != 0)
		return error;
	/* A-metric, A-derived acquire: the entries below the counts are whole; pair with
	 * R-metric and R-derived. */
	atomic_thread_fence(memory_order_acquire);
	if (*metrics > consumer->header.metrics_capacity ||
	    *derived > consumer->header.derived_capacity)
		return refuse(consumer, -EBADMSG, "more metrics than its table holds");
	return 0;
}

static const char *metric_fault(const struct shmbus_metric_entry *entry)
{
	if (!name_valid(entry->name, sizeof entry->name))
		return "name";
	if (entry->kind < SHMBUS_TIMER || entry->kind > SHMBUS_INFO)
		return "kind";
	if (entry->merge > SHMBUS_MERGE_MEAN)
		return "merge rule";
	if (entry->window > SHMBUS_WINDOW_MAX)
		return "window";
	if (entry->target_quantile_ppm >= 1000000)
		return "target quantile";
	return NULL;
}

int shmbus_consumer_metric(struct shmbus_consumer *consumer, uint32_t number,
			   struct shmbus_metric_entry *out)
{
	const struct shmbus_header *header = &consumer->header;
	const char *fault;
	int error =
		copy(consumer, header->metrics_offset + (uint64_t)header->metrics_stride * number,
		     out, sizeof *out);

	if (error != 0)
		return error;
	fault = metric_fault(out);
	if (fault != NULL)
		return refuse(consumer, -EBADMSG, "metric %u: %s is nonsense", number, fault);
	text_clean(out->unit, sizeof out->unit);
	text_clean(out->stage, sizeof out->stage);
	text_clean(out->help, sizeof out->help);
	text_clean(out->text, sizeof out->text);
	out->real = out->real != 0 && out->kind == SHMBUS_GAUGE;
	return 0;
}

int shmbus_consumer_derived(struct shmbus_consumer *consumer, uint32_t number,
			    struct shmbus_derived_entry *out)
{
	const struct shmbus_header *header = &consumer->header;
	uint32_t operands;
	int error =
		copy(consumer, header->derived_offset + (uint64_t)header->derived_stride * number,
		     out, sizeof *out);

	if (error != 0)
		return error;
	operands = (uint32_t)out->numerator_count + out->denominator_count;
	if (!name_valid(out->name, sizeof out->name) || operands > SHMBUS_DERIVED_OPERANDS_MAX ||
	    out->numerator_count == 0 || out->denominator_count == 0 ||
	    (out->rule != SHMBUS_DERIVE_RATIO && out->rule != SHMBUS_DERIVE_REMAINDER) ||
	    !(out->scale > -1e300 && out->scale < 1e300))
		return refuse(consumer, -EBADMSG, "derived value %u is nonsense", number);
	return 0;
}

/* One consistent copy of the labels' bytes, or -EAGAIN. */
static int labels_copy(struct shmbus_consumer *consumer, void *out, size_t size)
{
	for (int i = 0; i < 64; i++) {
		uint32_t before, after;
		int error = copy_field(consumer, offsetof(struct shmbus_header, labels_sequence),
				       &before);

		if (error != 0)
			return error;
		if (before % 2 != 0)
			continue;
		/* A-labels acquire: pairs with R-labels in label.c. */
		atomic_thread_fence(memory_order_acquire);
		error = copy(consumer, consumer->header.labels_offset, out, size);
		if (error != 0)
			return error;
		/* A-label acquire: a word of a later change shows the odd sequence too; pairs
		 * with R-label in label.c. */
		atomic_thread_fence(memory_order_acquire);
		error = copy_field(consumer, offsetof(struct shmbus_header, labels_sequence),
				   &after);
		if (error != 0)
			return error;
		if (before == after)
			return 0;
	}
	return -EAGAIN;
}

static bool label_clean(struct shmbus_consumer_label *label)
{
	label->key[SHMBUS_LABEL_KEY_SIZE - 1] = '\0';
	label->value[SHMBUS_LABEL_VALUE_SIZE - 1] = '\0';
	text_clean(label->value, sizeof label->value);
	return label->key[0] != '\0' && shmbus__label_check(label->key, "") == 0;
}

int shmbus_consumer_labels(struct shmbus_consumer *consumer,
			   struct shmbus_consumer_label out[SHMBUS_LABELS_MAX])
{
	struct shmbus_consumer_label raw[SHMBUS_LABELS_MAX];
	uint32_t capacity = consumer->header.labels_capacity;
	int count = 0;
	int error = labels_copy(consumer, raw, capacity * sizeof raw[0]);

	if (error != 0)
		return error;
	for (uint32_t i = 0; i < capacity; i++)
		if (label_clean(&raw[i]))
			out[count++] = raw[i];
	return count;
}

/* ---- life ---- */

int shmbus_consumer_alive(const struct shmbus_consumer *consumer)
{
	/* Asking for a read lock: only a lock for writing stands against it. */
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};

	if (fcntl(consumer->fd, F_OFD_GETLK, &lock) != 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}

bool shmbus_consumer_named(const struct shmbus_consumer *consumer)
{
	struct stat status;

	return fstat(consumer->fd, &status) == 0 && status.st_nlink > 0;
}

void shmbus_consumer_detach(struct shmbus_consumer *consumer)
{
	for (uint32_t i = 0; i < consumer->writer_count; i++) {
		struct shmbus_consumer_writer *writer = consumer->writers[i];

		if (writer->apart)
			munmap((void *)(uintptr_t)writer->block, writer->size);
		free(writer);
	}
	munmap((void *)(uintptr_t)consumer->live, consumer->live_size);
	munmap(consumer->heads, consumer->heads_size);
	close(consumer->fd);
	memset(consumer->writers, 0, sizeof consumer->writers);
	consumer->writer_count = 0;
	consumer->fd = -1;
}
