/* SPDX-License-Identifier: MIT */
/*
 * seeds.c - first inputs for the fuzz targets, from real segments, documents and snapshots.
 *
 *   fuzz_seeds DIRECTORY      fills DIRECTORY/{attach,agent,snapshot,document,checkpoint}
 *
 * `./dev fuzz --minimise` makes tests/fuzz/corpus of them and of what fuzzing has found.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmbus/producer.h>

#include "guard.h"
#include "one_session.h"
#include "script.h"
#include "seeds.h"
#include "snapshot_log.h"

#define ZEROS_MIN 12 /* a run of zeros this long is left out of an image */

static const char *directory;

_Noreturn void seed_fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- scripts ---- */

static void put(FILE *out, uint64_t number, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		fputc((int)(number >> 8 * i & 0xff), out);
}

static void put_write(FILE *out, size_t offset, const uint8_t *bytes, size_t length)
{
	put(out, SCRIPT_WRITE, 1);
	put(out, offset, 4);
	put(out, length, 2);
	fwrite(bytes, 1, length, out);
}

/* The end of the part that begins at `at` and is worth a WRITE. */
static size_t part_end(const uint8_t *bytes, size_t at, size_t size)
{
	size_t end = at + 1;

	for (size_t i = at; i < size && i < end + ZEROS_MIN && i - at < UINT16_MAX; i++)
		if (bytes[i] != 0)
			end = i + 1;
	return end;
}

static void put_image(FILE *out, const uint8_t *bytes, size_t size)
{
	put(out, SCRIPT_SIZE, 1);
	put(out, size, 4);
	for (size_t at = 0; at < size;) {
		size_t end = part_end(bytes, at, size);

		if (bytes[at] == 0) {
			at++;
			continue;
		}
		put_write(out, at, bytes + at, end - at);
		at = end;
	}
}

FILE *seed_open(const char *target, const char *name)
{
	char path[512];
	FILE *out;

	snprintf(path, sizeof path, "%s/%s", directory, target);
	mkdir(path, 0755);
	snprintf(path, sizeof path, "%s/%s/%s", directory, target, name);
	out = fopen(path, "wb");
	if (out == NULL)
		seed_fail(path);
	return out;
}

void seed_close(FILE *out)
{
	if (fclose(out) != 0)
		seed_fail(directory);
}

void script_save(const char *target, const char *name, const uint8_t *image, size_t size,
		 const char *changes, size_t changes_size, const char *steps)
{
	FILE *out = seed_open(target, name);

	put_image(out, image, size);
	fwrite(changes, 1, changes_size, out);
	for (; *steps != '\0'; steps++)
		if (*steps >= 'A' && *steps <= 'Z') /* A is the first step, what else an argument */
			put(out, SCRIPT_STEP + (uint64_t)(*steps - 'A'), 1);
		else
			put(out, (uint64_t)(*steps - '0'), 1);
	seed_close(out);
}

/* ---- segments ---- */

struct shape {
	const char *name;
	uint32_t writers;
	uint32_t samples;
	bool rich;  /* every kind of metric, beside the one timer */
	bool merge; /* gauges by each rule */
};

static void metric_add(struct shmbus_session *session, struct shmbus_metric_options options,
		       shmbus_metric *out)
{
	if (shmbus_metric_define(session, &options, out) != 0)
		seed_fail(options.name);
}

static void rich_values(struct shmbus_session *session, struct shmbus_writer *writer,
			shmbus_metric timer)
{
	struct shmbus_cycle_options cycle_options = {
		.name = "dsp", .rate_hz = 48000, .quantum = 256};
	struct shmbus_cycle cycle;
	shmbus_metric hits, depth, level, state, build;
	struct shmbus_derived_options rate = {
		.name = "hit_rate", .rule = SHMBUS_DERIVE_RATIO, .scale = 100};

	metric_add(session, (struct shmbus_metric_options){.name = "hits", .kind = SHMBUS_COUNTER},
		   &hits);
	metric_add(session, (struct shmbus_metric_options){.name = "depth", .kind = SHMBUS_UPDOWN},
		   &depth);
	metric_add(session,
		   (struct shmbus_metric_options){.name = "level",
						  .kind = SHMBUS_GAUGE,
						  .merge = SHMBUS_MERGE_MEAN,
						  .real = true,
						  .help = "in parts"},
		   &level);
	metric_add(session,
		   (struct shmbus_metric_options){
			   .name = "state", .kind = SHMBUS_STATESET, .text = "idle|busy"},
		   &state);
	metric_add(
		session,
		(struct shmbus_metric_options){.name = "build", .kind = SHMBUS_INFO, .text = "v1"},
		&build);
	if (shmbus_cycle_define(session, &cycle_options, &cycle) != 0)
		seed_fail("cycle");
	rate.numerator = &hits;
	rate.denominator = &timer;
	rate.numerator_count = rate.denominator_count = 1;
	shmbus_derived_define(session, &rate);
	rate.name = "rest";
	rate.rule = SHMBUS_DERIVE_REMAINDER;
	rate.numerator = &timer;
	rate.denominator = &cycle.busy;
	shmbus_derived_define(session, &rate);
	shmbus_label_set(session, "model",
			 "gr\xc3\xb6\xc3\x9f"
			 "e");
	shmbus_label_set(session, "attempt_id", "17");
	shmbus_add(writer, hits, 3);
	shmbus_add(writer, depth, -2);
	shmbus_set_real(writer, level, 0.25);
	shmbus_set(writer, state, 1);
	shmbus_correlate(writer, 99);
	for (uint64_t i = 0; i < 4; i++)
		shmbus_cycle(writer, &cycle, 1000000 * i, 1000000 * i + 4000,
			     1000000 * i + 900000 * i, i < 2 ? 256 : 128);
	shmbus_xrun(writer, &cycle);
}

/* Gauges of two writers, by each rule. */
static void merge_values(struct shmbus_session *session, struct shmbus_writer *const writers[])
{
	for (int i = 0; i < 8; i++) {
		char name[2] = {(char)('a' + i), '\0'};
		shmbus_metric gauge;

		metric_add(session,
			   (struct shmbus_metric_options){.name = name,
							  .kind = SHMBUS_GAUGE,
							  .merge = (enum shmbus_merge)(i / 2),
							  .real = i % 2 != 0},
			   &gauge);
		for (int k = 0; k < 2; k++)
			i % 2 != 0 ? shmbus_set_real(writers[k], gauge, k + 0.5)
				   : shmbus_set(writers[k], gauge, k - 7);
	}
}

void image_read(const char *segment, uint8_t **image, size_t *size)
{
	int fd = shm_open(segment, O_RDONLY, 0);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) != 0)
		seed_fail(segment);
	*size = (size_t)status.st_size;
	*image = malloc(*size);
	if (*image == NULL || read(fd, *image, *size) != status.st_size)
		seed_fail(segment);
	close(fd);
}

static void document_save(const char *segment, const char *name)
{
	static struct one_session one;
	msgpack_sbuffer buffer;
	FILE *out;

	msgpack_sbuffer_init(&buffer);
	one_session_begin(&one);
	if (segment != NULL && one_session_attach(&one, segment) != 0)
		seed_fail(segment);
	if (segment != NULL) {
		one_session_drain(&one, false);
		one_session_checkpoint(&one);
		one.drain.now_ns += 1000000000u;
		one_session_checkpoint(&one);
	}
	one_session_document(&one, &buffer);
	out = seed_open("document", name);
	fwrite(buffer.data, 1, buffer.size, out);
	seed_close(out);
	request_seeds(name, buffer.data, buffer.size);
	one_session_end(&one);
	msgpack_sbuffer_destroy(&buffer);
}

/* A session that is closed leaves its segment to the agent; here nobody else removes it. */
static void session_end(struct shmbus_session *session)
{
	char segment[80];

	snprintf(segment, sizeof segment, "%s", shmbus_session_segment(session));
	shmbus_session_close(session);
	shm_unlink(segment);
}

/* Pairs of gauges of one rule and of one name, which no honest producer has: one total each. */
static void same_save(const uint8_t *image, size_t size)
{
	const struct shmbus_header *header = (const struct shmbus_header *)image;
	char *changes;
	size_t changes_size;
	FILE *out = open_memstream(&changes, &changes_size);

	if (out == NULL)
		seed_fail("memory");
	for (uint32_t i = 0; i < 8; i++) {
		uint8_t letter = (uint8_t)('a' + i / 2);

		/* The timer comes before them. */
		put_write(out, header->metrics_offset + header->metrics_stride * (i + 1), &letter,
			  1);
	}
	seed_close(out);
	script_save("agent", "same", image, size, changes, changes_size, "ABCDE2BCDFD");
	free(changes);
}

/* What another thread changes all the while. */
struct race_seed {
	const char *name;
	size_t place;
	uint8_t byte;
};

static void racing_save(const uint8_t *image, size_t size)
{
	const struct shmbus_header *header = (const struct shmbus_header *)image;
	const size_t metrics = header->metrics_offset, writers = header->writers_offset;
	const struct race_seed seeds[] = {
		{"version", offsetof(struct shmbus_header, version) + 2, 9},
		{"heads", offsetof(struct shmbus_header, heads_stride), 8},
		{"metrics", offsetof(struct shmbus_header, metric_count), 0xff},
		{"writers", offsetof(struct shmbus_header, writer_count), 1},
		{"labels", offsetof(struct shmbus_header, labels_sequence), 1},
		{"ring", writers + offsetof(struct shmbus_writer_entry, capacity) + 2, 0xff},
		{"slots", writers + offsetof(struct shmbus_writer_entry, slots_offset) + 3, 0xff},
		{"name", metrics, 1},
		{"kind", metrics + offsetof(struct shmbus_metric_entry, kind), 200},
		{"window", metrics + offsetof(struct shmbus_metric_entry, window) + 3, 1},
		{"tag", size - 1024 + 8, 0xff},
	};
	const size_t count = sizeof seeds / sizeof seeds[0];

	for (size_t i = 0; i <= count; i++) {
		char *changes;
		size_t changes_size;
		FILE *out = open_memstream(&changes, &changes_size);

		if (out == NULL)
			seed_fail("memory");
		put(out, SCRIPT_LATER, 1);
		put(out, 0, 1);
		if (i < count) {
			put_write(out, seeds[i].place, &seeds[i].byte, 1);
		} else {
			put(out, SCRIPT_SIZE, 1);
			put(out, size / 2, 4);
		}
		seed_close(out);
		script_save("racing", i < count ? seeds[i].name : "size", image, size, changes,
			    changes_size, "ABABABABABABABABABCDE2BCDE9FD");
		free(changes);
	}
}

static void segment_seeds(const struct shape *shape)
{
	struct shmbus_session_options options = {
		.bus = script_bus(), .service = "seed", .id = "one", .metrics_max = 16};
	struct shmbus_writer_options ring = {.capacity = SHMBUS_RING_MIN};
	struct shmbus_writer *writers[4] = {0};
	struct shmbus_session *session;
	shmbus_metric timer;
	uint8_t *image;
	size_t size;

	if (shmbus_session_open(&options, &session) != 0)
		seed_fail(shape->name);
	metric_add(session,
		   (struct shmbus_metric_options){
			   .name = "work", .kind = SHMBUS_TIMER, .target = 500, .stage = "asr"},
		   &timer);
	for (uint32_t i = 0; i < shape->writers; i++)
		if (shmbus_writer_open(session, &ring, &writers[i]) != 0)
			seed_fail(shape->name);
	for (uint32_t i = 0; shape->writers > 0 && i < shape->samples; i++)
		shmbus_record_value_at(writers[i % shape->writers], timer, 7 * i * i, i);
	if (shape->rich)
		rich_values(session, writers[0], timer);
	if (shape->merge)
		merge_values(session, writers);
	image_read(shmbus_session_segment(session), &image, &size);
	/* Attach, tables, labels, drain, slots, life, writers, drain the rest. */
	script_save("attach", shape->name, image, size, "", 0, "ABCE50FG1G0DE00H");
	/* Attach, drain, checkpoint, document, time, the same again, the end, document. */
	script_save("agent", shape->name, image, size, "", 0, "ABCDE2BCDE9FD");
	if (shape->rich)
		racing_save(image, size);
	document_save(shmbus_session_segment(session), shape->name);
	if (shape->merge)
		same_save(image, size);
	free(image);
	session_end(session);
}

/* ---- a file that changes ---- */

/* A change of the file before the n-th pread of what follows. */
static void change_seeds(void)
{
	static const char cut[] = {SCRIPT_LATER, 3, SCRIPT_SIZE, 0, 0x40, 0, 0};
	static const char write[] = {SCRIPT_LATER, 1, SCRIPT_WRITE, 0x10, 1, 0, 0, 1, 0, 9};
	struct shmbus_session_options options = {
		.bus = script_bus(), .service = "seed", .id = "two", .metrics_max = 16};
	struct shmbus_writer_options ring = {.capacity = SHMBUS_RING_MIN};
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	shmbus_metric timer;
	uint8_t *image;
	size_t size;

	if (shmbus_session_open(&options, &session) != 0 ||
	    shmbus_writer_open(session, &ring, &writer) != 0)
		seed_fail("session");
	metric_add(session, (struct shmbus_metric_options){.name = "work", .kind = SHMBUS_TIMER},
		   &timer);
	shmbus_record_value(writer, timer, 5);
	image_read(shmbus_session_segment(session), &image, &size);
	script_save("attach", "cut", image, size, cut, sizeof cut, "ABE50FC");
	script_save("agent", "cut", image, size, cut, sizeof cut, "ABCD");
	script_save("attach", "write", image, size, write, sizeof write, "ABDE50FC");
	script_save("agent", "write", image, size, write, sizeof write, "ABCFD");
	free(image);
	session_end(session);
}

/* Metrics and samples that come while the agent is at work: it has seen an empty ring and one
 * metric; then there are samples of a second one, first at a checkpoint, then at a drain. */
static void late_seed(void)
{
	const size_t count_at = offsetof(struct shmbus_header, metric_count);
	struct shmbus_session_options options = {
		.bus = script_bus(), .service = "seed", .id = "late", .metrics_max = 16};
	struct shmbus_writer_options ring = {.capacity = SHMBUS_RING_MIN};
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	shmbus_metric metrics[2];
	uint8_t *before, *after;
	size_t size, at = 0;
	FILE *out;

	if (shmbus_session_open(&options, &session) != 0 ||
	    shmbus_writer_open(session, &ring, &writer) != 0)
		seed_fail("session");
	metric_add(session, (struct shmbus_metric_options){.name = "a", .kind = SHMBUS_TIMER},
		   &metrics[0]);
	image_read(shmbus_session_segment(session), &before, &size);
	metric_add(session, (struct shmbus_metric_options){.name = "b", .kind = SHMBUS_TIMER},
		   &metrics[1]);
	shmbus_record_value(writer, metrics[1], 5);
	image_read(shmbus_session_segment(session), &after, &size);
	out = seed_open("agent", "late");
	put_image(out, before, size);
	put(out, SCRIPT_STEP + 0, 1); /* attach */
	put(out, SCRIPT_STEP + 1, 1); /* drain */
	for (at = count_at; at < size; at++)
		if (before[at] != after[at])
			put_write(out, at, after + at, 1);
	put(out, SCRIPT_STEP + 2, 1); /* checkpoint */
	put_write(out, offsetof(struct shmbus_header, changes),
		  before + offsetof(struct shmbus_header, changes), 4);
	put(out, SCRIPT_STEP + 1, 1);
	put(out, SCRIPT_STEP + 2, 1);
	put(out, SCRIPT_STEP + 3, 1); /* document */
	seed_close(out);
	free(before);
	free(after);
	session_end(session);
}

/* ---- snapshots ---- */

static void snapshot_seeds(void)
{
	static const char text[] = "\x81\xa6schema\x01 and what follows it";
	struct shmbus_snapshot_extent extents[3];
	struct snapshot_log log;
	uint8_t *image;
	size_t size;

	if (snapshot_log_open(&log, script_bus(), 0600, (gid_t)-1, 1024) != 0)
		seed_fail("snapshot");
	for (int round = 0; round < 12; round++) {
		for (int i = 0; i < 3; i++) {
			extents[i].size = sizeof text - (size_t)(8 * i);
			extents[i].position = snapshot_log_append(&log, text, extents[i].size);
		}
		snapshot_log_publish(&log, extents, 3, 1, 2, 3);
		if (round != 0 && round != 11)
			continue;
		image_read(log.name, &image, &size);
		script_save("snapshot", round == 0 ? "first" : "round", image, size, "", 0, "ABAA");
		free(image);
	}
	shm_unlink(log.name);
	snapshot_log_close(&log);
}

int main(int argc, char **argv)
{
	static const struct shape shapes[] = {
		{.name = "empty"},
		{.name = "timer", .writers = 1, .samples = 40},
		{.name = "full", .writers = 1, .samples = 64},
		{.name = "writers", .writers = 4, .samples = 20},
		{.name = "rich", .writers = 2, .samples = 12, .rich = true},
		{.name = "merge", .writers = 2, .samples = 3, .merge = true},
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	directory = argv[1];
	mkdir(directory, 0755);
	if (guard_init() != 0)
		seed_fail("SIGBUS");
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
		segment_seeds(&shapes[i]);
	change_seeds();
	late_seed();
	text_seed();
	document_save(NULL, "no-session");
	snapshot_seeds();
	checkpoint_seeds();
	return 0;
}
