/* SPDX-License-Identifier: MIT */
/* test_snapshot.c - the reader of snapshots over files made by hand, true and false ones. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/layout.h>
#include <shmbus/producer.h>
#include <shmbus/snapshot.h>

#define LOG_OFFSET 4096u
#define LOG_SIZE 4096u

static char bus[SHMBUS_BUS_SIZE], name[80];
static struct shmbus_snapshot_header *header;
static uint8_t *bytes; /* of the log */
static struct shmbus_snapshot_reader *reader;
static struct shmbus_snapshot snapshot;

/* A file of its own under the name, empty of documents. Returns its descriptor. */
static int file_make(uint64_t log_size)
{
	int fd;

	shm_unlink(name);
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)(LOG_OFFSET + log_size)), 0);
	header = mmap(NULL, LOG_OFFSET + log_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq((void *)header, MAP_FAILED);
	bytes = (uint8_t *)header + LOG_OFFSET;
	header->magic = SHMBUS_SNAPSHOT_MAGIC;
	header->version = SHMBUS_SNAPSHOT_VERSION;
	header->log_offset = LOG_OFFSET;
	header->log_size = log_size;
	return fd;
}

static void setup(void)
{
	const char *own = getenv("SHMBUS_BUS");

	/* A bus for each test: they run side by side. */
	snprintf(bus, sizeof bus, "%.18s-u%d", own != NULL ? own : "default", (int)getpid());
	snprintf(name, sizeof name, "/shmbus.%s.snapshot", bus);
	cr_assert_eq(shmbus_snapshot_open(bus, &reader), 0);
	close(file_make(LOG_SIZE));
}

static void teardown(void)
{
	shmbus_snapshot_close(reader);
	shm_unlink(name);
}

TestSuite(snapshot, .init = setup, .fini = teardown);

static struct shmbus_snapshot_index *index_at(uint64_t position)
{
	return (struct shmbus_snapshot_index *)(bytes + position % header->log_size);
}

static struct shmbus_snapshot_extent *extent_of(uint64_t position, size_t i)
{
	return (struct shmbus_snapshot_extent *)(index_at(position) + 1) + i;
}

static void put(uint64_t position, const char *text)
{
	memcpy(bytes + position % header->log_size, text, strlen(text));
}

/* "hello world" in three pieces, the index at `position`. */
static void document_make(uint64_t position)
{
	static const struct shmbus_snapshot_extent extents[] = {{512, 5}, {1024, 1}, {256, 5}};

	put(512, "hello");
	put(1024, " ");
	put(256, "world");
	*index_at(position) = (struct shmbus_snapshot_index){.seq = 7,
							     .time_unix_ns = 1111,
							     .time_monotonic_ns = 2222,
							     .interval_ns = 3333,
							     .document_size = 11,
							     .extent_count = 3};
	memcpy(extent_of(position, 0), extents, sizeof extents);
	atomic_store(&header->index, position);
}

static void read_is(const char *text)
{
	int error = shmbus_snapshot_read(reader, &snapshot);

	cr_assert_eq(error, 0, "%s", shmbus_strerror(error));
	cr_assert_eq(snapshot.size, strlen(text));
	cr_assert_eq(memcmp(snapshot.data, text, snapshot.size), 0);
}

static void refused(int error, const char *word)
{
	uint8_t before[sizeof snapshot];
	int got;

	memset(before, 0x5a, sizeof before);
	memcpy(&snapshot, before, sizeof snapshot);
	got = shmbus_snapshot_read(reader, &snapshot);
	cr_assert_eq(got, error, "%s: %d, %s", word, got, shmbus_strerror(got));
	cr_assert_not_null(strstr(shmbus_strerror(error), word), "%s", shmbus_strerror(error));
	cr_assert_eq(memcmp(before, (const uint8_t *)&snapshot, sizeof snapshot), 0,
		     "untouched after an error");
}

Test(snapshot, none)
{
	refused(-ENOENT, "not published yet");
	shm_unlink(name);
	cr_assert_eq(shmbus_snapshot_read(reader, &snapshot), -ENOENT);
	shmbus_snapshot_close(reader);
	cr_assert_eq(shmbus_snapshot_open(bus, &reader), 0);
	refused(-ENOENT, "no agent has published");
	shmbus_snapshot_close(NULL);
}

Test(snapshot, buses)
{
	struct shmbus_snapshot_reader *other = reader;

	cr_assert_eq(shmbus_snapshot_open("a/b", &other), -EINVAL);
	cr_assert_null(other);
	document_make(2048);
	setenv("SHMBUS_BUS", bus, 1);
	shmbus_snapshot_close(reader);
	cr_assert_eq(shmbus_snapshot_open(NULL, &reader), 0);
	read_is("hello world");
}

Test(snapshot, one_document)
{
	struct timespec now;

	document_make(2048);
	read_is("hello world");
	cr_assert_eq(snapshot.seq, 7);
	cr_assert_eq(snapshot.time_unix_ns, 1111);
	cr_assert_eq(snapshot.interval_ns, 3333);
	clock_gettime(CLOCK_MONOTONIC, &now);
	cr_assert_gt(snapshot.age_ns, 0);
	cr_assert_leq(snapshot.age_ns,
		      (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - 2222);
	cr_assert_not(snapshot.agent_running);
	index_at(2048)->time_monotonic_ns = UINT64_MAX;
	read_is("hello world");
	cr_assert_eq(snapshot.age_ns, 0, "from the future");
}

Test(snapshot, positions_go_round_the_log)
{
	for (uint64_t turn = 0; turn < 3; turn++) {
		uint64_t base = turn == 2 ? UINT64_MAX - LOG_SIZE + 1 : turn << 40;

		document_make(base + 2048);
		for (size_t i = 0; i < 3; i++)
			extent_of(2048, i)->position += base;
		atomic_store(&header->reclaimed, base + 256);
		read_is("hello world");
	}
}

Test(snapshot, items_at_the_very_end_of_the_log)
{
	document_make(LOG_SIZE - sizeof(struct shmbus_snapshot_index) -
		      3 * sizeof(struct shmbus_snapshot_extent));
	read_is("hello world");
	put(LOG_SIZE - 5, "there");
	*index_at(2048) = (struct shmbus_snapshot_index){.document_size = 5, .extent_count = 1};
	*extent_of(2048, 0) = (struct shmbus_snapshot_extent){LOG_SIZE - 5, 5};
	atomic_store(&header->index, 2048);
	read_is("there");
	extent_of(2048, 0)->position++;
	refused(-EBADMSG, "damaged");
}

Test(snapshot, empty_documents)
{
	document_make(2048);
	index_at(2048)->extent_count = 0;
	index_at(2048)->document_size = 0;
	refused(-EBADMSG, "damaged");
	index_at(2048)->extent_count = 1;
	extent_of(2048, 0)->size = 0;
	refused(-EBADMSG, "damaged");
}

Test(snapshot, the_newest_of_several)
{
	document_make(2048);
	read_is("hello world");
	document_make(3072);
	index_at(3072)->seq = 9;
	index_at(3072)->extent_count = 1;
	index_at(3072)->document_size = 5;
	read_is("hello");
	cr_assert_eq(snapshot.seq, 9);
}

/* The agent grows by renaming a new file over the old one; a restarted one does likewise. */
Test(snapshot, a_new_file_under_the_name_is_followed)
{
	struct shmbus_snapshot_header *old;

	document_make(2048);
	read_is("hello world");
	old = header;
	close(file_make(4 * LOG_SIZE));
	refused(-ENOENT, "not published yet");
	document_make(3 * LOG_SIZE);
	index_at(3 * LOG_SIZE)->seq = 8;
	read_is("hello world");
	cr_assert_eq(snapshot.seq, 8);
	atomic_store(&old->index, 0);
	read_is("hello world");

	shm_unlink(name);
	read_is("hello world");
	cr_assert_eq(snapshot.seq, 8, "the last document outlives its name");
}

Test(snapshot, an_agent_is_known_by_its_lock)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
	char agent[80];
	int fd;

	document_make(2048);
	snprintf(agent, sizeof agent, "/shmbus.%s.agent", bus);
	fd = shm_open(agent, O_RDWR | O_CREAT | O_EXCL, 0600);
	read_is("hello world");
	cr_assert_not(snapshot.agent_running);
	cr_assert_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	read_is("hello world");
	cr_assert_not(snapshot.agent_running, "anybody can have a read lock");
	lock.l_type = F_WRLCK;
	cr_assert_eq(fcntl(fd, F_OFD_SETLK, &lock), 0);
	read_is("hello world");
	cr_assert(snapshot.agent_running);
	close(fd);
	read_is("hello world");
	cr_assert_not(snapshot.agent_running);
	shm_unlink(agent);
}

/* ---- overtaken ---- */

Test(snapshot, reclaimed_is_never_read)
{
	document_make(2048);
	atomic_store(&header->reclaimed, 256);
	read_is("hello world");
	atomic_store(&header->reclaimed, 257); /* the oldest extent is gone */
	refused(-EAGAIN, "overtaken");
	atomic_store(&header->reclaimed, 2049); /* and the index */
	refused(-EAGAIN, "overtaken");
	atomic_store(&header->reclaimed, UINT64_MAX);
	refused(-EAGAIN, "overtaken");
}

/* What is garbage because it was overwritten is overtaken, not damaged. */
Test(snapshot, garbage_where_the_index_was_overwritten)
{
	document_make(2048);
	memset(index_at(2048), 0xff, 512);
	refused(-EBADMSG, "damaged");
	atomic_store(&header->reclaimed, 2049);
	refused(-EAGAIN, "overtaken");
}

static _Atomic bool stop;

/* Documents of one repeated byte, each over the bytes of the one before the last. */
static void *publish(void *unused)
{
	uint64_t position = LOG_SIZE;

	(void)unused;
	for (uint64_t seq = 1; !atomic_load(&stop); seq++, position += 1024) {
		atomic_store(&header->reclaimed, position + 1024 - LOG_SIZE);
		atomic_thread_fence(memory_order_release);
		memset(bytes + position % LOG_SIZE, (int)(seq & 0xff), 900);
		*index_at(position + 904) = (struct shmbus_snapshot_index){
			.seq = seq, .document_size = 900, .extent_count = 1};
		*extent_of(position + 904, 0) = (struct shmbus_snapshot_extent){position, 900};
		atomic_store_explicit(&header->index, position + 904, memory_order_release);
	}
	return NULL;
}

Test(snapshot, whole_or_nothing_beside_a_publisher_without_mercy)
{
	uint64_t last = 0, whole = 0;
	pthread_t thread;

	pthread_create(&thread, NULL, publish, NULL);
	while (whole < 2000) {
		int error = shmbus_snapshot_read(reader, &snapshot);

		if (error == -EAGAIN || error == -ENOENT)
			continue;
		cr_assert_eq(error, 0, "%s", shmbus_strerror(error));
		cr_assert_eq(snapshot.size, 900);
		for (size_t i = 0; i < 900; i++)
			cr_assert_eq(snapshot.data[i], (uint8_t)snapshot.seq, "torn");
		cr_assert_geq(snapshot.seq, last);
		last = snapshot.seq;
		whole++;
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}

/* ---- cut short ---- */

#define LARGE (1u << 25) /* so that a read lasts */

static _Atomic uint32_t begun, done; /* reads */

/* Once in a few reads, somewhere in one, cuts the file to its first page; then makes it whole. */
static void *cut(void *data)
{
	int fd = *(const int *)data;

	for (uint32_t round = 0; !atomic_load(&stop); round++) {
		uint32_t read = atomic_load(&begun) + 2;

		while (atomic_load(&begun) < read && !atomic_load(&stop))
			;
		for (volatile uint32_t i = 0; i < round % 16 * 100000; i++)
			;
		cr_assert_eq(ftruncate(fd, LOG_OFFSET), 0);
		while (atomic_load(&done) < read && !atomic_load(&stop))
			sched_yield();
		cr_assert_eq(ftruncate(fd, LOG_OFFSET + LARGE), 0);
		*index_at(LARGE - 4096) = (struct shmbus_snapshot_index){.document_size = LARGE / 2,
									 .extent_count = 1};
		*extent_of(LARGE - 4096, 0) = (struct shmbus_snapshot_extent){4096, LARGE / 2};
	}
	return NULL;
}

/* A reader that has it mapped would get SIGBUS. */
Test(snapshot, cut_short_in_the_middle_of_a_read)
{
	uint32_t whole = 0, damaged = 0;
	int fd = file_make(LARGE);
	pthread_t thread;

	atomic_store(&header->index, LARGE - 4096);
	pthread_create(&thread, NULL, cut, &fd);
	while (whole < 50 || damaged < 50) {
		int error;

		atomic_fetch_add(&begun, 1);
		error = shmbus_snapshot_read(reader, &snapshot);
		atomic_fetch_add(&done, 1);
		cr_assert(error == 0 || error == -EBADMSG, "%s", shmbus_strerror(error));
		whole += error == 0;
		damaged += error == -EBADMSG;
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	close(fd);
}

/* ---- false files ---- */

static void new_reader(void)
{
	shmbus_snapshot_close(reader);
	cr_assert_eq(shmbus_snapshot_open(bus, &reader), 0);
}

static void header_refused(int error, const char *word)
{
	new_reader();
	refused(error, word);
	shm_unlink(name);
	close(file_make(LOG_SIZE));
	document_make(2048);
}

Test(snapshot, headers_of_nonsense)
{
	static const uint64_t sizes[] = {0,          1ull << 13, LOG_SIZE - 8, LOG_SIZE + 8,
					 UINT64_MAX, 1ull << 63, 1ull << 33,   3072};
	static const uint32_t offsets[] = {0, 64, 120, 132, 4104, UINT32_MAX, UINT32_MAX - 7};

	document_make(2048);
	header->magic++;
	header_refused(-EBADMSG, "not a snapshot");
	header->version = 2u << 16;
	header_refused(-EPROTO, "version 2.0");
	header->version = 0;
	header_refused(-EPROTO, "version 0.0");
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		header->log_size = sizes[i];
		header_refused(-EBADMSG, "damaged");
	}
	for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
		header->log_offset = offsets[i];
		header_refused(-EBADMSG, "damaged");
	}
	header->version = SHMBUS_SNAPSHOT_VERSION + 5;
	new_reader();
	read_is("hello world");
}

Test(snapshot, indices_of_nonsense)
{
	static const uint64_t positions[] = {1, 2049, LOG_SIZE - 8, LOG_SIZE - 40, UINT64_MAX};
	static const uint64_t counts[] = {4, 257, 1ull << 60, UINT64_MAX, LOG_SIZE / 16, 2};
	static const uint64_t sizes[] = {10, 12, 0, LOG_SIZE + 1, UINT64_MAX, 1ull << 63};

	document_make(2048);
	for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
		atomic_store(&header->index, positions[i]);
		refused(-EBADMSG, "damaged");
	}
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		document_make(2048);
		*extent_of(2048, 3) = (struct shmbus_snapshot_extent){0, 1};
		index_at(2048)->extent_count = counts[i];
		refused(-EBADMSG, "damaged");
	}
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		document_make(2048);
		index_at(2048)->document_size = sizes[i];
		refused(-EBADMSG, "damaged");
	}
	for (size_t i = 0; i < 3; i++) {
		document_make(2048);
		extent_of(2048, i)->size = UINT64_MAX;
		refused(-EBADMSG, "damaged");
		extent_of(2048, i)->size = LOG_SIZE + 1;
		refused(-EBADMSG, "damaged");
	}
	document_make(2048);
	read_is("hello world");
}

Test(snapshot, other_things_under_the_name)
{
	char path[128];

	snprintf(path, sizeof path, "/dev/shm%s", name);
	cr_assert_eq(truncate(path, 100), 0);
	refused(-EBADMSG, "not a snapshot");
	cr_assert_eq(truncate(path, 0), 0);
	refused(-EBADMSG, "not a snapshot");
	shm_unlink(name);
	cr_assert_eq(mkfifo(path, 0600), 0);
	refused(-EBADMSG, "not a snapshot");
	shm_unlink(name);
	cr_assert_eq(symlink("/dev/zero", path), 0);
	refused(-ELOOP, "cannot open");
	shm_unlink(name);
	close(file_make(LOG_SIZE));
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	else
		cr_assert_eq(chmod(path, 0), 0);
	refused(-EACCES, "cannot open");
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
}
