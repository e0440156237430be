/* SPDX-License-Identifier: MIT */
/* test_attach.c - consumer.c on what stands under a segment's name, on life, and on what comes. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "seen.h"

static struct shmbus_consumer consumer;
static char name[80], path[128];

/* A name on the test's bus that nothing stands under yet. */
static void name_set(const char *what)
{
	const char *bus = getenv("SHMBUS_BUS");

	snprintf(name, sizeof name, "/shmbus.%s.s.%s", bus != NULL ? bus : "default", what);
	snprintf(path, sizeof path, "/dev/shm%s", name);
}

static void path_of(const struct shmbus_session *session)
{
	snprintf(path, sizeof path, "/dev/shm%s", shmbus_session_segment(session));
}

static void refused(int error, const char *word)
{
	int got = shmbus_consumer_attach(&consumer, name);

	cr_assert_eq(got, error, "%d, %s", got, consumer.reason);
	cr_assert_not_null(strstr(consumer.reason, word), "%s", consumer.reason);
}

Test(attach, nothing)
{
	name_set("nothing");
	refused(-ENOENT, "cannot open");
}

Test(attach, an_empty_file_is_still_being_made)
{
	int fd;

	name_set("empty");
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	refused(-EAGAIN, "still being made");
	cr_assert_eq(ftruncate(fd, 4096), 0);
	refused(-EAGAIN, "still being made");
	cr_assert_eq(pwrite(fd, "garbage garbage garbage", 23, 0), 23);
	refused(-EPROTO, "layout version");
	close(fd);
	shm_unlink(name);
}

/* The runner's limit of time is the judge: a plain open of a FIFO would wait for ever. */
Test(attach, a_fifo)
{
	name_set("fifo");
	cr_assert_eq(mkfifo(path, 0600), 0);
	refused(-EBADMSG, "not a regular file");
	unlink(path);
}

Test(attach, a_directory)
{
	int error;

	name_set("directory");
	cr_assert_eq(mkdir(path, 0700), 0);
	error = shmbus_consumer_attach(&consumer, name);
	rmdir(path);
	cr_assert_eq(error, -EINVAL, "%d", error); /* what shm_open(3) makes of EISDIR */
}

Test(attach, a_symbolic_link_is_not_followed)
{
	struct shmbus_session *session = session_opened(1);
	char target[128];

	path_of(session);
	memcpy(target, path, sizeof target);
	name_set("link");
	cr_assert_eq(symlink(target, path), 0);
	refused(-ELOOP, "cannot open");
	unlink(path);
	shmbus_session_close(session);
}

Test(attach, a_second_name_is_refused)
{
	struct shmbus_session *session = session_opened(1);
	char target[128];

	path_of(session);
	memcpy(target, path, sizeof target);
	name_set("hard");
	cr_assert_eq(link(target, path), 0);
	refused(-EBADMSG, "has 2 names");
	unlink(path);
	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	shmbus_consumer_detach(&consumer);
	shmbus_session_close(session);
}

/* Who owns the file is the caller's to judge: it is told. */
Test(attach, the_owner_is_told)
{
	struct shmbus_session *session = session_opened(1);

	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	cr_assert_eq(consumer.uid, geteuid());
	shmbus_consumer_detach(&consumer);
	path_of(session);
	if (geteuid() == 0) {
		cr_assert_eq(chown(path, 4242, 4242), 0);
		cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
		cr_assert_eq(consumer.uid, 4242);
		shmbus_consumer_detach(&consumer);
		cr_assert_eq(seteuid(65534), 0);
	} else {
		cr_assert_eq(chmod(path, 0), 0);
	}
	snprintf(name, sizeof name, "%s", shmbus_session_segment(session));
	refused(-EACCES, "cannot open");
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
	shmbus_session_close(session);
}

/* ---- life ---- */

Test(attach, alive_is_the_producers_lock_alone)
{
	struct shmbus_session *session = session_opened(1);
	struct flock read_lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
	struct flock beyond = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};
	int fd;

	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	fd = shm_open(shmbus_session_segment(session), O_RDWR, 0);
	cr_assert_eq(shmbus_consumer_alive(&consumer), 1);
	cr_assert(shmbus_consumer_named(&consumer));
	cr_assert_eq(fcntl(fd, F_OFD_SETLK, &beyond), 0);
	shmbus_session_close(session);
	cr_assert_eq(fcntl(fd, F_OFD_SETLK, &read_lock), 0);
	cr_assert_eq(shmbus_consumer_alive(&consumer), 0, "others' locks do not count");
	cr_assert_not(shmbus_consumer_named(&consumer));
	close(fd);
	shmbus_consumer_detach(&consumer);
}

static int child_opens_and_is_killed(void *argument)
{
	struct shmbus_session *session = session_opened(1);
	struct shmbus_writer *writer = writer_opened(session, 64);

	metric_defined(session, "t", SHMBUS_TIMER);
	for (uint64_t i = 0; i < 10; i++)
		shmbus_record_value_at(writer, 0, i, i);
	memcpy(argument, shmbus_session_segment(session), 80);
	raise(SIGKILL);
	return 1;
}

Test(attach, a_killed_producer_is_dead_and_all_that_it_published_is_there)
{
	char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(child_opens_and_is_killed(shared));
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	cr_assert_eq(shmbus_consumer_attach(&consumer, shared), 0, "%s", consumer.reason);
	cr_assert_eq(shmbus_consumer_alive(&consumer), 0);
	cr_assert_eq(atomic_load(&consumer.live->state), SHMBUS_SEGMENT_OPEN);
	cr_assert_eq(consumer.header.pid, pid);
	cr_assert_eq(seen_drain(consumer.writers[0]), 10);
	shmbus_consumer_detach(&consumer);
	shm_unlink(shared);
}

/* ---- what comes later ---- */

Test(attach, writers_and_metrics_that_come_later_are_seen)
{
	struct shmbus_session *session = session_opened(8);
	struct shmbus_writer *writer;
	struct shmbus_metric_entry entry;
	uint32_t metrics, derived, changes;
	char label[8];

	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	cr_assert_eq(consumer.writer_count, 0);
	for (uint32_t i = 0; i < 8; i++) {
		changes = atomic_load(&consumer.live->changes);
		snprintf(label, sizeof label, "m%u", i);
		metric_defined(session, label, SHMBUS_TIMER);
		writer = writer_opened(session, 64u << i);
		cr_assert_geq(atomic_load(&consumer.live->changes), changes + 2);
		cr_assert(shmbus_record_value_at(writer, i, i * 10, i));
		cr_assert_eq(shmbus_consumer_writers_update(&consumer), 0);
		cr_assert_eq(consumer.writer_count, i + 1);
		cr_assert_eq(consumer.writers[i]->capacity, 64u << i);
		cr_assert_eq(seen_drain(consumer.writers[i]), 1);
		cr_assert_eq(shmbus_consumer_counts(&consumer, &metrics, &derived), 0);
		cr_assert_eq(metrics, i + 1);
		cr_assert_eq(shmbus_consumer_metric(&consumer, i, &entry), 0);
		cr_assert_str_eq(entry.name, label);
	}
	shmbus_consumer_detach(&consumer);
	shmbus_session_close(session);
}

Test(attach, a_second_consumer_goes_on_from_the_head)
{
	struct shmbus_session *session = session_opened(1);
	struct shmbus_writer *writer = writer_opened(session, 64);
	struct seen_record record;

	for (uint64_t i = 0; i < 30; i++)
		cr_assert(shmbus_record_value_at(writer, 0, i, i));
	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	for (uint64_t i = 0; i < 20; i++)
		cr_assert(seen_next(consumer.writers[0], &record));
	shmbus_ring_release(consumer.writers[0]->head, 12); /* read 20, gave back 12 */
	shmbus_consumer_detach(&consumer);
	cr_assert_eq(shmbus_consumer_attach(&consumer, shmbus_session_segment(session)), 0);
	for (uint64_t i = 12; i < 30; i++) {
		cr_assert(seen_next(consumer.writers[0], &record));
		cr_assert_eq(record.value, i);
	}
	cr_assert_not(seen_next(consumer.writers[0], &record));
	shmbus_consumer_detach(&consumer);
	shmbus_session_close(session);
}
