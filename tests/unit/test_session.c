/* SPDX-License-Identifier: MIT */
/* test_session.c - sessions: opened, refused, switched off, forked, closed. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "seen.h"

static const char *bus_name(void)
{
	const char *bus = getenv("SHMBUS_BUS");

	return bus != NULL ? bus : "default";
}

static struct stat segment_stat(const char *segment)
{
	char path[128];
	struct stat status;

	snprintf(path, sizeof path, "/dev/shm%s", segment);
	cr_assert_eq(stat(path, &status), 0, "%s", path);
	return status;
}

static bool segment_exists(const char *segment)
{
	char path[128];

	snprintf(path, sizeof path, "/dev/shm%s", segment);
	return access(path, F_OK) == 0;
}

/* Everything may be called on a no-op session, and does nothing. */
static void noop_check(struct shmbus_session *session)
{
	struct shmbus_metric_options timer = {.name = "t", .kind = SHMBUS_TIMER};
	struct shmbus_cycle_options audio = {.name = "c", .rate_hz = 48000, .quantum = 64};
	struct shmbus_writer_stats stats = {1, 1, 1, 1};
	struct shmbus_derived_options derived = {.name = "d", .rule = SHMBUS_DERIVE_RATIO};
	struct shmbus_writer *writer;
	struct shmbus_cycle cycle;
	shmbus_metric metric;

	cr_assert_not_null(session);
	cr_assert_str_eq(shmbus_session_id(session), "");
	cr_assert_str_eq(shmbus_session_segment(session), "");
	cr_assert_eq(shmbus_label_set(session, "k", "v"), 0);
	cr_assert_eq(shmbus_metric_define(session, &timer, &metric), 0);
	cr_assert_eq(shmbus_cycle_define(session, &audio, &cycle), 0);
	derived.numerator = derived.denominator = &metric;
	derived.numerator_count = derived.denominator_count = 1;
	cr_assert_eq(shmbus_derived_define(session, &derived), 0);
	cr_assert_eq(shmbus_writer_open(session, NULL, &writer), 0);
	for (int i = 0; i < 1000; i++) {
		cr_assert_not(shmbus_record(writer, metric, shmbus_now()));
		cr_assert_not(shmbus_cycle(writer, &cycle, 1, 2, 3, 64 + (uint32_t)i));
		shmbus_add(writer, SHMBUS_METRICS_MAX, 1);
		shmbus_xrun(writer, &cycle);
		shmbus_correlate(writer, 7);
	}
	shmbus_heartbeat(session);
	shmbus_writer_stats_get(writer, &stats);
	cr_assert(stats.attempted == 0 && stats.recorded == 0 && stats.dropped == 0 &&
		  stats.capacity == 0);
	shmbus_writer_close(writer);
	shmbus_writer_close(writer);
	shmbus_session_close(session);
	shmbus_session_close(session);
}

static void refused(const struct shmbus_session_options *options, int error, const char *word)
{
	struct shmbus_session *session = NULL;

	cr_assert_eq(shmbus_session_open(options, &session), error, "%s", word);
	cr_assert_not_null(strstr(shmbus_strerror(error), word), "\"%s\" lacks \"%s\"",
			   shmbus_strerror(error), word);
	noop_check(session);
}

static void accepted(const struct shmbus_session_options *options)
{
	struct shmbus_session *session;
	int error = shmbus_session_open(options, &session);

	cr_assert_eq(error, 0, "%s", shmbus_strerror(error));
	cr_assert_str_neq(shmbus_session_id(session), "");
	shmbus_session_close(session);
}

static void service_check(const char *service)
{
	struct shmbus_session *session;
	struct shmbus_consumer *consumer;
	int error = shmbus_session_open(NULL, &session);

	cr_assert_eq(error, 0, "%s", shmbus_strerror(error));
	consumer = seen(session);
	cr_assert_str_eq(consumer->header.service, service);
	shmbus_consumer_detach(consumer);
	shmbus_session_close(session);
}

Test(session, defaults)
{
	struct shmbus_session *session;
	struct shmbus_consumer *consumer;
	char start[80], id[80];
	struct stat status;

	program_invocation_short_name = (char[]){"program-1.0"};
	cr_assert_eq(shmbus_session_open(NULL, &session), 0);
	snprintf(start, sizeof start, "/shmbus.%s.s.", bus_name());
	cr_assert_eq(strncmp(shmbus_session_segment(session), start, strlen(start)), 0, "%s",
		     shmbus_session_segment(session));
	cr_assert_eq(strlen(shmbus_session_segment(session)), strlen(start) + 16);
	cr_assert_eq(strspn(shmbus_session_segment(session) + strlen(start), "0123456789abcdef"),
		     16);
	status = segment_stat(shmbus_session_segment(session));
	cr_assert_eq(status.st_mode & 07777, 0600);
	cr_assert_geq(status.st_blocks * 512, status.st_size, "its space is reserved");
	consumer = seen(session);
	cr_assert_str_eq(consumer->header.service, "program-1.0");
	snprintf(id, sizeof id, "program-1.0-%d-", (int)getpid());
	cr_assert_eq(strncmp(consumer->header.id, id, strlen(id)), 0, "%s", consumer->header.id);
	cr_assert_str_eq(consumer->header.id, shmbus_session_id(session));
	cr_assert_eq(consumer->header.metrics_capacity, SHMBUS_METRICS_DEFAULT);
	shmbus_consumer_detach(consumer);
	shmbus_session_close(session);
	shmbus_session_close(NULL);
}

/* Whatever a program is called, it can open a session without options. */
Test(session, service_of_programs_with_odd_names)
{
	static const struct {
		const char *program, *service;
	} cases[] = {
		{"", "_"},     {"9 lives", "_9_lives"}, {".hidden", "_.hidden"},
		{"-x", "_-x"}, {"a\n\x1b", "a__"},      {"\xc3\xa4", "__"},
	};
	char longest[200];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		program_invocation_short_name = (char *)(uintptr_t)cases[i].program;
		service_check(cases[i].service);
	}
	memset(longest, '9', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	program_invocation_short_name = longest;
	accepted(NULL);
}

Test(session, two_of_one_program_are_different)
{
	struct shmbus_session *first = session_opened(0), *second = session_opened(0);

	cr_assert_str_neq(shmbus_session_segment(first), shmbus_session_segment(second));
	cr_assert_str_neq(shmbus_session_id(first), shmbus_session_id(second));
	shmbus_session_close(first);
	cr_assert(segment_exists(shmbus_session_segment(second)));
	shmbus_session_close(second);
}

Test(session, bus_by_option_environment_default)
{
	char bus[SHMBUS_BUS_SIZE], start[64];
	struct shmbus_session_options options = {.bus = bus};
	struct shmbus_session *session;

	snprintf(bus, sizeof bus, "%.20s-option", bus_name());
	cr_assert_eq(shmbus_session_open(&options, &session), 0);
	snprintf(start, sizeof start, "/shmbus.%s.s.", bus);
	cr_assert_eq(strncmp(shmbus_session_segment(session), start, strlen(start)), 0);
	shmbus_session_close(session);

	setenv("SHMBUS_BUS", "", 1);
	cr_assert_eq(shmbus_session_open(NULL, &session), 0);
	cr_assert_eq(strncmp(shmbus_session_segment(session), "/shmbus.default.s.", 18), 0);
	shmbus_session_close(session);
	setenv("SHMBUS_BUS", "no/such", 1);
	refused(NULL, -EINVAL, "no/such");
}

Test(session, bus_names)
{
	static const char *const bad[] = {
		"a.b", "a/b",      "../x", " ",
		"a b", "\xc3\xa4", "a\n",  "-234567890123456789012345678901x"};
	char longest[] = "123456789012345678901234567890x";
	struct shmbus_session_options options = {.bus = longest};

	cr_assert_eq(strlen(longest), SHMBUS_BUS_SIZE - 1);
	memcpy(longest, bus_name(), strlen(bus_name()));
	longest[strlen(bus_name())] = '_'; /* no digit: the runner tells buses apart by that */
	accepted(&options);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		options.bus = bad[i];
		refused(&options, -EINVAL, "bus name");
	}
}

Test(session, service_names)
{
	static const char *const bad[] = {"", "1a", ".a", "a b", "a\n", "\xc3\xa4", "a\x7f", "a|b"};
	char name[SHMBUS_NAME_SIZE + 1];
	struct shmbus_session_options options = {.service = name};

	memset(name, 'n', sizeof name);
	name[SHMBUS_NAME_SIZE - 1] = '\0';
	accepted(&options);
	name[SHMBUS_NAME_SIZE - 1] = 'n';
	name[SHMBUS_NAME_SIZE] = '\0';
	refused(&options, -E2BIG, "at most 63 bytes");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		options.service = bad[i];
		refused(&options, -EINVAL, "service");
	}
	options.service = "_a.b:c/d-9";
	accepted(&options);
}

Test(session, ids)
{
	static const char *const bad[] = {
		"",         "a\nb",      "\x1b[2J",      "\x7f",     "\xc3",
		"\xc3\x28", "\x80",      "\xed\xa0\x80", "\xf5\x80", "\xc0\xaf",
		"\xc2\x85", "a\xe2\x82", "\xe0\x80\x80"};
	char id[SHMBUS_ID_SIZE + 1];
	struct shmbus_session_options options = {.id = id};

	memset(id, 'i', sizeof id);
	id[SHMBUS_ID_SIZE - 1] = '\0';
	accepted(&options);
	id[SHMBUS_ID_SIZE - 1] = 'i';
	id[SHMBUS_ID_SIZE] = '\0';
	refused(&options, -E2BIG, "session id");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		options.id = bad[i];
		refused(&options, -EINVAL, "session id");
	}
	options.id = "a b \xc3\xa4 \xe2\x82\xac \xf0\x9f\x8e\xb5 \xf4\x8f\xbf\xbf";
	accepted(&options);
}

Test(session, limits)
{
	struct shmbus_label labels[SHMBUS_LABELS_MAX + 1];
	char keys[SHMBUS_LABELS_MAX + 1][8];
	struct shmbus_session_options options = {.metrics_max = SHMBUS_METRICS_MAX,
						 .labels = labels,
						 .label_count = SHMBUS_LABELS_MAX};

	for (uint32_t i = 0; i <= SHMBUS_LABELS_MAX; i++) {
		snprintf(keys[i], sizeof keys[i], "k%u", i);
		labels[i] = (struct shmbus_label){keys[i], "v"};
	}
	accepted(&options);
	options.label_count++;
	refused(&options, -EINVAL, "17 labels are too many: at most 16");
	options.label_count = 1;
	options.metrics_max++;
	refused(&options, -EINVAL, "metrics_max 4095");
	options.metrics_max = UINT32_MAX;
	refused(&options, -EINVAL, "metrics_max");
	options.metrics_max = 1;
	accepted(&options);
	labels[0].key = "9";
	refused(&options, -EINVAL, "label key");
}

Test(session, modes)
{
	static const mode_t good[] = {0600, 0640, 0660}, bad[] = {0601, 0666, 0400, 04600, 0700};
	struct shmbus_session_options options = {0};
	struct shmbus_session *session;

	umask(0077);
	for (size_t i = 0; i < 3; i++) {
		options.mode = good[i];
		cr_assert_eq(shmbus_session_open(&options, &session), 0);
		cr_assert_eq(segment_stat(shmbus_session_segment(session)).st_mode & 07777, good[i],
			     "past the umask");
		shmbus_session_close(session);
	}
	for (size_t i = 0; i < 5; i++) {
		options.mode = bad[i];
		refused(&options, -EINVAL, "mode");
	}
}

Test(session, no_descriptor_is_left)
{
	struct rlimit limit;
	struct shmbus_session *session, *before = session_opened(0);
	struct shmbus_writer *writer;
	int first = dup(0);

	close(first);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int more = 0; more < 2; more++) { /* none for the file; none for the lock */
		limit.rlim_cur = (rlim_t)first + (rlim_t)more;
		cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		cr_assert_eq(shmbus_session_open(NULL, &session), -EMFILE);
		noop_check(session);
	}
	limit.rlim_cur = (rlim_t)first;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_eq(shmbus_writer_open(before, NULL, &writer), -EMFILE);
	cr_assert_not(shmbus_record(writer, 0, 0));
	limit.rlim_cur = limit.rlim_max;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_eq(shmbus_writer_open(before, NULL, &writer), 0, "it works again");
	shmbus_session_close(before);
}

Test(session, disabled_by_environment)
{
	struct shmbus_session_options bad = {.service = ""};
	struct shmbus_session *session;

	setenv("SHMBUS_DISABLE", "1", 1);
	cr_assert_eq(shmbus_session_open(NULL, &session), 0);
	noop_check(session);
	cr_assert_eq(shmbus_session_open(&bad, &session), 0);
	noop_check(session);
	setenv("SHMBUS_DISABLE", "0", 1);
	accepted(NULL);
	setenv("SHMBUS_DISABLE", "", 1);
	accepted(NULL);
}

static uint32_t flags_of_a_locked_session(void)
{
	struct shmbus_session_options options = {.lock_memory = true};
	struct shmbus_session *session;
	struct shmbus_consumer *consumer;
	uint32_t flags;

	cr_assert_eq(shmbus_session_open(&options, &session), 0);
	writer_opened(session, 64);
	consumer = seen(session);
	flags = atomic_load(&consumer->live->flags);
	shmbus_consumer_detach(consumer);
	shmbus_session_close(session);
	return flags;
}

Test(session, memory_lock_is_told)
{
	struct rlimit none = {0, 0};

	cr_assert(flags_of_a_locked_session() & SHMBUS_FLAG_LOCK_ASKED);
	if (geteuid() == 0) /* who may lock whatever the limit */
		cr_assert_eq(seteuid(65534), 0);
	cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
#if !defined(__SANITIZE_ADDRESS__) /* with it mlock() does nothing and succeeds */
	cr_assert_eq(flags_of_a_locked_session(), SHMBUS_FLAG_LOCK_ASKED | SHMBUS_FLAG_LOCK_FAILED);
#endif
}

static int descriptors_open(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* As where shared memory is full: space cannot be reserved. Nothing is left behind. */
Test(session, no_room_for_the_file)
{
	struct rlimit none = {4096, RLIM_INFINITY};
	struct shmbus_session *session;
	int before = descriptors_open();

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
	cr_assert_eq(shmbus_session_open(NULL, &session), -EFBIG);
	cr_assert_not_null(strstr(shmbus_strerror(-EFBIG), "cannot reserve space"));
	noop_check(session);
	cr_assert_eq(descriptors_open(), before);
}

Test(session, heartbeat_moves)
{
	struct shmbus_session *session = session_opened(0);
	struct shmbus_consumer *consumer = seen(session);
	uint64_t before = atomic_load(&consumer->live->heartbeat_ticks);

	cr_assert_eq(before, consumer->header.start_ticks);
	while (shmbus_now() == before)
		;
	shmbus_heartbeat(session);
	cr_assert_gt(atomic_load(&consumer->live->heartbeat_ticks), before);
	shmbus_consumer_detach(consumer);
	shmbus_session_close(session);
}

Test(session, close_says_so_and_removes_where_no_agent_was)
{
	struct shmbus_session *session = session_opened(0);
	struct shmbus_consumer *consumer = seen(session);
	char name[80];

	snprintf(name, sizeof name, "%s", shmbus_session_segment(session));
	cr_assert_eq(atomic_load(&consumer->live->state), SHMBUS_SEGMENT_OPEN);
	cr_assert_eq(shmbus_consumer_alive(consumer), 1);
	shmbus_session_close(session);
	cr_assert_eq(atomic_load(&consumer->live->state), SHMBUS_SEGMENT_CLOSED);
	cr_assert_eq(shmbus_consumer_alive(consumer), 0);
	cr_assert_not(shmbus_consumer_named(consumer));
	shmbus_consumer_detach(consumer);
	cr_assert_not(segment_exists(name));
}

Test(session, close_leaves_the_segment_to_an_agent_that_was_there)
{
	char bus[SHMBUS_BUS_SIZE], agent[128], name[80];
	struct shmbus_session_options options = {.bus = bus};
	struct shmbus_session *session;
	int fd;

	snprintf(bus, sizeof bus, "%.20s-agent", bus_name());
	snprintf(agent, sizeof agent, "/shmbus.%s.agent", bus);
	fd = shm_open(agent, O_RDWR | O_CREAT, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
	cr_assert_eq(shmbus_session_open(&options, &session), 0);
	snprintf(name, sizeof name, "%s", shmbus_session_segment(session));
	shmbus_session_close(session);
	cr_assert(segment_exists(name));
	shm_unlink(name);
	shm_unlink(agent);
}

Test(session, errors_have_words)
{
	struct shmbus_session_options bad = {.service = "a b"};
	struct shmbus_session *session;

	cr_assert_eq(shmbus_session_open(&bad, &session), -EINVAL);
	cr_assert_not_null(strstr(shmbus_strerror(-EINVAL), "a b"));
	cr_assert_str_eq(shmbus_strerror(-EACCES), strerror(EACCES), "of another error");
	cr_assert_str_eq(shmbus_strerror(EACCES), strerror(EACCES));
	cr_assert_not_null(shmbus_strerror(0));
	cr_assert_not_null(shmbus_strerror(-99999));
	cr_assert_not_null(shmbus_strerror(INT_MAX));
	cr_assert_not_null(shmbus_strerror(INT_MIN));
	cr_assert_str_eq(shmbus_version(), "0.1.0");
}
