/* SPDX-License-Identifier: MIT */
/*
 * agent.c - what a real agent costs under a steady load: its share of one processor, by the
 * kernel's account, and its memory, while one process records into many sessions.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/layout.h>
#include <shmbus/producer.h>

#define WARMUP_SECONDS 5u
#define CAPACITY 1024u

struct load {
	struct shmbus_session *session;
	struct shmbus_writer *writer;
	shmbus_metric timers[64];
};

/* Starts the agent that lies beside this program. */
static int agent_start(const char *bus, pid_t *out)
{
	char path[4096];
	ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - sizeof("shmbus-agent"));
	char *slash;

	if (size < 0)
		return -errno;
	path[size] = '\0';
	slash = strrchr(path, '/');
	memcpy(slash + 1, "shmbus-agent", sizeof("shmbus-agent"));
	*out = fork();
	if (*out < 0)
		return -errno;
	if (*out == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execl(path, path, "--bus", bus, "--max-sessions", "10000", (char *)NULL);
		fprintf(stderr, "shmbus-bench: %s: %s\n", path, strerror(errno));
		_exit(127);
	}
	return 0;
}

/* Stops it, and removes what an agent leaves for the next one on its bus. */
static void agent_stop(pid_t agent, const char *bus)
{
	static const char *const suffixes[] = {SHMBUS_AGENT_SUFFIX, SHMBUS_SNAPSHOT_SUFFIX,
					       SHMBUS_CHECKPOINT_SUFFIX};
	char name[80];

	kill(agent, SIGTERM);
	waitpid(agent, NULL, 0);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(name, sizeof(name), "/" SHMBUS_PREFIX "%s.%s", bus, suffixes[i]);
		shm_unlink(name);
	}
}

/* The processor time that a process has used, in seconds, with all its threads. */
static int process_cpu_seconds(pid_t pid, double *out)
{
	struct timespec time;
	clockid_t clock;
	int error = clock_getcpuclockid(pid, &clock);

	if (error)
		return -error;
	if (clock_gettime(clock, &time) != 0)
		return -errno;
	*out = (double)time.tv_sec + (double)time.tv_nsec / 1e9;
	return 0;
}

static int process_rss_kib(pid_t pid, double *out)
{
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	*out = -1;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, "VmRSS:", 6) == 0)
			*out = strtod(line + 6, NULL);
	fclose(file);
	return *out < 0 ? -ESRCH : 0;
}

static int load_open(struct load *load, const char *bus, uint32_t metrics)
{
	struct shmbus_session_options options = {.bus = bus, .service = "bench"};
	struct shmbus_writer_options writer = {.capacity = CAPACITY};
	struct shmbus_metric_options timer = {.kind = SHMBUS_TIMER};
	char name[32];
	int error = shmbus_session_open(&options, &load->session);

	if (!error)
		error = shmbus_writer_open(load->session, &writer, &load->writer);
	for (uint32_t i = 0; !error && i < metrics; i++) {
		snprintf(name, sizeof(name), "timer%u", i);
		timer.name = name;
		error = shmbus_metric_define(load->session, &timer, &load->timers[i]);
	}
	if (error)
		fprintf(stderr, "shmbus-bench: %s\n", shmbus_strerror(error));
	return error;
}

/* One sample to each timer of each session: a few hundred microseconds, none twice the same. */
static void loads_record(struct load *loads, const struct bench_options *options)
{
	static uint64_t random = 88172645463325252u;

	for (uint32_t s = 0; s < options->sessions; s++) {
		for (uint32_t m = 0; m < options->metrics; m++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			shmbus_record_value(loads[s].writer, loads[s].timers[m],
					    100000 + random % 400000);
		}
	}
}

/* Records at the rate for so many seconds, on an absolute schedule. */
static void loads_run(struct load *loads, const struct bench_options *options, uint32_t seconds)
{
	uint64_t period_ns = 1000000000u / options->rate_hz, next = bench_now_ns();
	uint64_t end = next + seconds * 1000000000ull;

	for (; next < end; next += period_ns) {
		struct timespec time = {.tv_sec = (time_t)(next / 1000000000u),
					.tv_nsec = (long)(next % 1000000000u)};

		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
		loads_record(loads, options);
	}
}

static void writers_account(const struct load *loads, uint32_t sessions, uint64_t *recorded,
			    uint64_t *dropped)
{
	struct shmbus_writer_stats stats;

	*recorded = *dropped = 0;
	for (uint32_t s = 0; s < sessions; s++) {
		shmbus_writer_stats_get(loads[s].writer, &stats);
		*recorded += stats.recorded;
		*dropped += stats.dropped;
	}
}

static int measure(struct bench *bench, struct load *loads, pid_t agent)
{
	static const struct bench_goal shown = {0};
	const struct bench_options *options = bench_options(bench);
	double before, after, rss, percent;
	uint64_t start, recorded, dropped;
	int error;

	loads_run(loads, options, WARMUP_SECONDS);
	start = bench_now_ns();
	error = process_cpu_seconds(agent, &before);
	if (error)
		return error;
	loads_run(loads, options, options->seconds);
	error = process_cpu_seconds(agent, &after);
	if (!error)
		error = process_rss_kib(agent, &rss);
	if (error)
		return error;
	percent = (after - before) * 1e11 / (double)(bench_now_ns() - start);
	rss /= 1024;
	writers_account(loads, options->sessions, &recorded, &dropped);
	bench_note(bench, "%u sessions, %u timers each, %u Hz, %u s: %llu samples, %llu dropped",
		   options->sessions, options->metrics, options->rate_hz, options->seconds,
		   (unsigned long long)recorded, (unsigned long long)dropped);
	bench_figure(bench, "agent.cpu_percent", "the agent's part of one processor", "%", &shown,
		     &percent, 1);
	bench_figure(bench, "agent.rss_mib", "the agent's memory", "MiB", &shown, &rss, 1);
	return 0;
}

static int agent_run(struct bench *bench)
{
	const struct bench_options *options = bench_options(bench);
	struct load *loads = calloc(options->sessions, sizeof(*loads));
	struct rlimit files;
	char bus[SHMBUS_BUS_SIZE];
	pid_t agent;
	int error;

	if (!loads)
		return -ENOMEM;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	snprintf(bus, sizeof(bus), "bench-%d", (int)getpid());
	error = agent_start(bus, &agent);
	if (error)
		goto free_loads;
	for (uint32_t s = 0; !error && s < options->sessions; s++)
		error = load_open(&loads[s], bus, options->metrics);
	if (!error)
		error = measure(bench, loads, agent);
	for (uint32_t s = 0; s < options->sessions; s++)
		shmbus_session_close(loads[s].session);
	/* It drains what is left and removes the segments. */
	sleep(1);
	agent_stop(agent, bus);
free_loads:
	free(loads);
	return error;
}

const struct bench_part bench_part_agent = {"agent", "what the agent costs under a steady load",
					    agent_run, false};
