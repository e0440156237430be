/* SPDX-License-Identifier: MIT */
/*
 * hot.c - system calls and page faults in 10^8 records. A child records under a filter that
 * turns each system call into a signal, which counts it; the parent drains its ring, and reads
 * the child's faults from /proc before and after.
 */
#include "bench.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "subject.h"

#define RECORDS 100000000u

enum phase { PREPARING, READY, GO, DONE, LEAVE };

/* What the two tell each other without a system call. */
struct shared {
	_Atomic(int) phase;
	_Atomic(uint64_t) syscalls;
	_Atomic(uint64_t) accepted;
};

static struct shared *shared;

static void phase_wait(int phase)
{
	while (atomic_load(&shared->phase) < phase)
		;
}

static void syscall_count(int number)
{
	(void)number;
	atomic_fetch_add(&shared->syscalls, 1);
}

/* Only the return from that signal and the end are let through. */
static int filter_install(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	struct sigaction action = {.sa_handler = syscall_count};

	if (sigaction(SIGSYS, &action, NULL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		return -errno;
	return 0;
}

/* Four of all sorts. */
static uint64_t records_make(struct subject *subject, uint64_t i)
{
	uint64_t start = shmbus_now(), accepted;

	accepted = shmbus_record(subject->writer, subject->timer, start);
	accepted += shmbus_record_value(subject->writer, subject->timer, i);
	accepted += 2u * shmbus_cycle(subject->writer, &subject->cycle, start, start + 1, start + 2,
				      128);
	shmbus_add(subject->writer, subject->counter, 1);
	shmbus_set(subject->writer, subject->gauge, (int64_t)i);
	return accepted;
}

/* Only its opener can write into a session, so the child opens it. */
static void child(int names)
{
	struct subject *subject;
	uint64_t accepted = 0;
	char name[80] = "";

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (subject_create(SUBJECT_CAPACITY, &subject) != 0)
		_exit(1);
	snprintf(name, sizeof(name), "%s", shmbus_session_segment(subject->session));
	records_make(subject, 0); /* what code and stack need is there from now on */
	if (write(names, name, sizeof(name)) != sizeof(name) || filter_install() != 0)
		_exit(1);
	syscall(SYS_getppid); /* counted: the filter is seen to work */
	atomic_store(&shared->phase, READY);
	phase_wait(GO);
	for (uint64_t i = 1; i <= RECORDS / 4; i++)
		accepted += records_make(subject, i);
	atomic_store(&shared->accepted, accepted);
	atomic_store(&shared->phase, DONE);
	phase_wait(LEAVE);
	_exit(0);
}

/* Minor and major faults of a process: fields 10 and 12 of proc(5)'s stat. */
static int faults_read(pid_t pid, uint64_t *out)
{
	char path[40], text[1024] = "";
	unsigned long long minor, major;
	const char *rest;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	rest = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	if (!rest ||
	    sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %llu %*u %llu", &minor, &major) != 2)
		return -EBADMSG;
	*out = minor + major;
	return 0;
}

/* Until the child is in that phase, or has ended. */
static int child_wait(pid_t pid, int phase, struct shmbus_consumer *drained)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	uint64_t value, tag;

	while (atomic_load(&shared->phase) < phase) {
		siginfo_t info = {0};

		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
		    info.si_pid == pid)
			return -ECHILD;
		if (drained) {
			struct shmbus_consumer_writer *writer = drained->writers[0];

			while (shmbus_ring_peek(&writer->ring, writer->ring.position, &value, &tag))
				writer->ring.position++;
			shmbus_ring_release(writer->head, writer->ring.position);
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

struct counted {
	double syscalls;
	double faults;
	uint64_t accepted;
};

/* While the child records and this process drains. */
static int count(pid_t pid, struct shmbus_consumer *consumer, struct counted *out)
{
	uint64_t before, after, syscalls;
	int error = child_wait(pid, READY, NULL);

	if (!error)
		error = faults_read(pid, &before);
	if (error)
		return error;
	syscalls = atomic_load(&shared->syscalls);
	if (syscalls == 0) {
		fprintf(stderr, "shmbus-bench: the filter does not count system calls\n");
		return -ENOTSUP;
	}
	atomic_store(&shared->phase, GO);
	error = child_wait(pid, DONE, consumer);
	if (!error)
		error = faults_read(pid, &after);
	if (error)
		return error;
	out->syscalls = (double)(atomic_load(&shared->syscalls) - syscalls);
	out->faults = (double)(after - before);
	out->accepted = atomic_load(&shared->accepted);
	return 0;
}

static int attach_and_count(pid_t pid, int names, struct counted *out)
{
	struct shmbus_consumer *consumer = calloc(1, sizeof(*consumer));
	char segment[80];
	int error;

	if (!consumer)
		return -ENOMEM;
	if (read(names, segment, sizeof(segment)) != sizeof(segment)) {
		free(consumer);
		return -ECHILD;
	}
	error = shmbus_consumer_attach(consumer, segment);
	if (!error) {
		error = shmbus_consumer_writers_update(consumer);
		if (!error)
			error = count(pid, consumer, out);
		shmbus_consumer_detach(consumer);
	}
	shm_unlink(segment);
	free(consumer);
	return error;
}

static int hot_count(const struct bench_cpus *cpus, struct counted *out)
{
	int names[2], error = 0;
	pid_t pid;

	if (pipe(names) != 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		bench_cpu_pin(cpus->producer);
		child(names[1]);
	}
	close(names[1]);
	if (pid < 0)
		error = -errno;
	if (!error) {
		bench_cpu_pin(cpus->consumer);
		error = attach_and_count(pid, names[0], out);
		bench_cpu_unpin();
		atomic_store(&shared->phase, LEAVE);
		if (error)
			kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(names[0]);
	return error;
}

static int hot_run(struct bench *bench)
{
	struct counted counted;
	struct bench_cpus cpus;
	int error = bench_cpus_find(&cpus);

	if (error)
		return error;
	shared = bench_shared_alloc(sizeof(*shared));
	if (!shared)
		return -ENOMEM;
	bench_progress(bench, "%u records", RECORDS);
	error = hot_count(&cpus, &counted);
	bench_shared_free(shared, sizeof(*shared));
	if (error)
		return error;
	bench_figure(bench, "hot_syscalls", "system calls", "1", &counted.syscalls, 1);
	bench_figure(bench, "hot_page_faults", "page faults", "1", &counted.faults, 1);
	bench_note(bench,
		   "%u records, and half as many changes of a counter and a gauge: %llu taken, "
		   "%llu dropped",
		   RECORDS, (unsigned long long)counted.accepted,
		   (unsigned long long)(RECORDS - counted.accepted));
	return 0;
}

const struct bench_part bench_part_hot = {"hot", "system calls and page faults in 10^8 records",
					  hot_run, true};
