/* SPDX-License-Identifier: MIT */
/*
 * hostile.c - a producer that lies while the agent looks, for end-to-end tests. It takes the image
 * of a session that the library made, and puts copies of it under segments' names, each with the
 * lock of a living producer.
 *
 *   e2e_hostile flip ROUNDS    changes fields of each copy, to and fro, before and after it has
 *                              its name, for ten milliseconds; cuts and punches it too
 *   e2e_hostile churn ROUNDS   each copy lives for no longer than it takes to make the next one
 *   e2e_hostile labels ROUNDS  one copy whose labels never settle
 *   e2e_hostile windows ROUNDS a session of so many timers with the largest windows
 *   e2e_hostile many ROUNDS    so many copies at once, until the input is closed
 *   e2e_hostile dense ROUNDS   a session with all writers that there may be, of so many slots each,
 *                              records until a line has come and a ring is full, says how much
 *                              that was, and waits for its death
 *
 * Prints {} when it is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/layout.h>
#include <shmbus/producer.h>

#define ROUND_NS 10000000u
#define KEY_FIRST 0xbad00000000ull
#define DENSE_TURN 4096u

struct copy {
	int fd; /* has the lock */
	char path[128];
	_Atomic uint32_t *words; /* its mapping */
};

static uint8_t *image;
static size_t image_size;
static uint64_t random_state = 88172645463325252u;

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

#define must(done, what) ((done) ? (void)0 : fail(what))

/* xorshift64 (Marsaglia, 2003): the same numbers in every run. */
static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- the image ---- */

static void template_record(struct shmbus_session *session)
{
	struct shmbus_writer_options ring = {.capacity = SHMBUS_RING_MIN};
	struct shmbus_metric_options timer = {
		.name = "value", .kind = SHMBUS_TIMER, .unit = "1", .target = 900};
	struct shmbus_metric_options hits = {.name = "hits", .kind = SHMBUS_COUNTER};
	struct shmbus_metric_options level = {.name = "level", .kind = SHMBUS_GAUGE, .real = true};
	shmbus_metric value, count, gauge;

	shmbus_metric_define(session, &timer, &value);
	shmbus_metric_define(session, &hits, &count);
	shmbus_metric_define(session, &level, &gauge);
	for (int i = 0; i < 2; i++) {
		struct shmbus_writer *writer;

		shmbus_writer_open(session, &ring, &writer);
		for (uint64_t k = 1; k <= SHMBUS_RING_MIN / 2; k++)
			shmbus_record_value(writer, value, k);
		shmbus_add(writer, count, 1);
		shmbus_set_real(writer, gauge, 0.5);
	}
}

/* On a bus of its own: no agent sees it, and it is gone when this returns. */
static void image_make(void)
{
	struct shmbus_label label = {"attempt_id", "17"};
	struct shmbus_session_options options = {.service = "hostile",
						 .id = "hostile",
						 .metrics_max = 8,
						 .labels = &label,
						 .label_count = 1};
	struct shmbus_session *session;
	struct stat status;
	char bus[64];
	int fd;

	snprintf(bus, sizeof bus, "%.20s-image", getenv("SHMBUS_BUS"));
	options.bus = bus;
	must(shmbus_session_open(&options, &session) == 0, "session");
	template_record(session);
	fd = shm_open(shmbus_session_segment(session), O_RDONLY, 0);
	must(fd >= 0 && fstat(fd, &status) == 0, "image");
	image_size = (size_t)status.st_size;
	image = malloc(image_size);
	must(image != NULL && read(fd, image, image_size) == (ssize_t)image_size, "image");
	close(fd);
	shmbus_session_close(session);
}

/* ---- copies ---- */

static void copy_make(struct copy *copy, uint64_t number, bool map)
{
	struct flock lock = {.l_type = F_WRLCK, .l_len = 1};

	snprintf(copy->path, sizeof copy->path, "/dev/shm/shmbus.%s.copy", getenv("SHMBUS_BUS"));
	copy->fd = open(copy->path, O_RDWR | O_CREAT | O_EXCL, 0600);
	must(copy->fd >= 0, copy->path);
	snprintf((char *)image + offsetof(struct shmbus_header, id), SHMBUS_ID_SIZE, "hostile%u",
		 (unsigned)(number % 5)); /* and so several have one id */
	must(write(copy->fd, image, image_size) == (ssize_t)image_size, "write");
	must(fcntl(copy->fd, F_OFD_SETLK, &lock) == 0, "lock");
	copy->words = map ? mmap(NULL, image_size, PROT_READ | PROT_WRITE, MAP_SHARED, copy->fd, 0)
			  : NULL;
	must(copy->words != MAP_FAILED, "map");
}

static void copy_name(struct copy *copy, uint64_t number)
{
	char named[128];

	snprintf(named, sizeof named, "/dev/shm/shmbus.%s.s.%016llx", getenv("SHMBUS_BUS"),
		 (unsigned long long)(KEY_FIRST + number));
	must(rename(copy->path, named) == 0, "rename");
	memcpy(copy->path, named, sizeof named);
}

static void copy_end(struct copy *copy, bool remove)
{
	if (remove)
		unlink(copy->path);
	if (copy->words != NULL)
		munmap((void *)copy->words, image_size);
	close(copy->fd);
}

/* ---- lies ---- */

/* An offset of a word: mostly of what the agent checks. */
static size_t place(void)
{
	const struct shmbus_header *header = (const struct shmbus_header *)image;
	size_t changing = offsetof(struct shmbus_header, changes);

	switch (random_below(8)) {
	case 0:
	case 1:
		return random_below(changing / 4) * 4;
	case 2:
	case 3:
		return changing + random_below(12) * 4;
	case 4:
		return header->writers_offset + random_below(2 * header->writers_stride / 4) * 4;
	case 5:
		return header->metrics_offset + random_below(4 * header->metrics_stride / 4) * 4;
	case 6:
		return header->heads_offset + random_below(32) * 4;
	default:
		return random_below(image_size / 4) * 4;
	}
}

static uint32_t lie(uint32_t truth)
{
	static const uint32_t numbers[] = {0,      1,          0x7fffffff, 0x80000000, 0xffffffff,
					   0x1000, 0xffff0000, 0xff1b5bff, 65,         4095};

	if (random_below(2) == 0)
		return truth ^ 1u << random_below(32);
	return numbers[random_below(sizeof numbers / sizeof numbers[0])];
}

static uint32_t truth_at(size_t offset)
{
	uint32_t word;

	memcpy(&word, image + offset, sizeof word);
	return word;
}

static void tables_changed(struct copy *copy)
{
	atomic_fetch_add(&copy->words[offsetof(struct shmbus_header, changes) / 4], 1);
}

/* Makes the file short, or empty in parts, and whole again, with zeros: nobody knows when. */
static void cut(struct copy *copy)
{
	off_t from = (off_t)random_below(image_size);

	if (random_below(2) == 0)
		must(ftruncate(copy->fd, from) == 0 && ftruncate(copy->fd, (off_t)image_size) == 0,
		     "ftruncate");
	else
		must(fallocate(copy->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, 8192) ==
			     0,
		     "fallocate");
	must(pwrite(copy->fd, image, image_size, 0) == (ssize_t)image_size, "pwrite");
}

/* Long enough to be seen. */
static void lie_stands(struct copy *copy, size_t offset)
{
	uint32_t truth = truth_at(offset);
	uint64_t until_ns = now_ns() + ROUND_NS / 5;

	atomic_store(&copy->words[offset / 4], lie(truth));
	tables_changed(copy);
	while (now_ns() < until_ns)
		;
	atomic_store(&copy->words[offset / 4], truth);
}

static void lies_tell(struct copy *copy, uint64_t until_ns)
{
	while (now_ns() < until_ns) {
		size_t offset = place();
		uint32_t truth = truth_at(offset);

		for (int i = 0; i < 100; i++) {
			atomic_store_explicit(&copy->words[offset / 4], lie(truth),
					      memory_order_relaxed);
			atomic_store_explicit(&copy->words[offset / 4], truth,
					      memory_order_relaxed);
		}
		tables_changed(copy);
		if (random_below(50) == 0)
			lie_stands(copy, offset);
		if (random_below(500) == 0)
			cut(copy);
	}
}

static void flip(uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t begin_ns = now_ns();
		struct copy copy;

		copy_make(&copy, i, true);
		lies_tell(&copy, begin_ns + ROUND_NS / 10);
		copy_name(&copy, i);
		lies_tell(&copy, begin_ns + ROUND_NS);
		copy_end(&copy, i % 2 == 0);
	}
}

static void churn(uint64_t rounds)
{
	for (uint64_t i = 0; i < rounds; i++) {
		struct copy copy;

		copy_make(&copy, i, false);
		copy_name(&copy, i);
		copy_end(&copy, true);
	}
}

static void labels(uint64_t rounds)
{
	size_t sequence = offsetof(struct shmbus_header, labels_sequence) / 4;
	struct copy copy;

	copy_make(&copy, 0, true);
	copy_name(&copy, 0);
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t until_ns = now_ns() + ROUND_NS;

		while (now_ns() < until_ns) {
			atomic_fetch_add(&copy.words[sequence], 1);
			tables_changed(&copy);
		}
	}
	atomic_store(&copy.words[sequence], 2);
	tables_changed(&copy);
	puts("{}");
	fflush(stdout);
	getchar(); /* until the test closes our input */
	copy_end(&copy, false);
}

static void many(uint64_t rounds)
{
	struct rlimit limit = {rounds + 64, rounds + 64};
	struct copy copy;

	must(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
	for (uint64_t i = 0; i < rounds; i++) {
		copy_make(&copy, i, false);
		copy_name(&copy, i);
	}
	puts("{}");
	fflush(stdout);
	getchar(); /* as above; the kernel ends the locks */
}

static void windows(uint64_t rounds)
{
	struct shmbus_session_options options = {
		.service = "hostile", .id = "windows", .metrics_max = (uint32_t)rounds};
	struct shmbus_session *session;
	struct shmbus_writer *writer;

	must(shmbus_session_open(&options, &session) == 0 &&
		     shmbus_writer_open(session, NULL, &writer) == 0,
	     "session");
	for (uint64_t i = 0; i < rounds; i++) {
		char name[32];
		struct shmbus_metric_options timer = {
			.name = name, .kind = SHMBUS_TIMER, .window = SHMBUS_WINDOW_MAX};
		shmbus_metric metric;

		snprintf(name, sizeof name, "m%u", (unsigned)i);
		must(shmbus_metric_define(session, &timer, &metric) == 0, "metric");
		shmbus_record_value(writer, metric, i);
	}
	puts("{}");
	fflush(stdout);
	getchar(); /* until the test closes our input */
	shmbus_session_close(session);
}

static struct shmbus_writer_stats dense_stats(struct shmbus_writer *const *writers)
{
	struct shmbus_writer_stats all = {0}, one;

	for (uint32_t i = 0; i < SHMBUS_WRITERS_MAX; i++) {
		shmbus_writer_stats_get(writers[i], &one);
		all.attempted += one.attempted;
		all.recorded += one.recorded;
		all.dropped += one.dropped;
	}
	return all;
}

/* The writers in turn, so that all rings fill. */
static void dense_record(struct shmbus_writer *const *writers, shmbus_metric value)
{
	struct pollfd told = {.fd = STDIN_FILENO, .events = POLLIN};

	while (poll(&told, 1, 0) == 0 || dense_stats(writers).dropped == 0)
		for (uint32_t i = 0; i < SHMBUS_WRITERS_MAX; i++)
			for (uint64_t k = 0; k < DENSE_TURN; k++)
				shmbus_record_value(writers[i], value, k);
}

static void dense(uint64_t slots)
{
	struct shmbus_session_options options = {.service = "hostile", .id = "dense"};
	struct shmbus_writer_options ring = {.capacity = (uint32_t)slots};
	struct shmbus_metric_options timer = {.name = "value", .kind = SHMBUS_TIMER, .unit = "1"};
	struct shmbus_writer *writers[SHMBUS_WRITERS_MAX];
	struct shmbus_writer_stats all;
	struct shmbus_session *session;
	shmbus_metric value;

	must(shmbus_session_open(&options, &session) == 0 &&
		     shmbus_metric_define(session, &timer, &value) == 0,
	     "session");
	for (uint32_t i = 0; i < SHMBUS_WRITERS_MAX; i++)
		must(shmbus_writer_open(session, &ring, &writers[i]) == 0, "writer");
	dense_record(writers, value);
	all = dense_stats(writers);
	printf("{\"attempted\":%" PRIu64 ",\"recorded\":%" PRIu64 ",\"dropped\":%" PRIu64 "}\n",
	       all.attempted, all.recorded, all.dropped);
	fflush(stdout);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(uint64_t rounds);
	} modes[] = {{"flip", flip}, {"churn", churn}, {"labels", labels},
		     {"many", many}, {"dense", dense}, {"windows", windows}};
	uint64_t rounds = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;

	if (argc != 3 || rounds == 0 || getenv("SHMBUS_BUS") == NULL)
		return 2;
	image_make();
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(modes[i].name, argv[1]) == 0)
			modes[i].run(rounds);
	puts("{}");
	free(image);
	return 0;
}
