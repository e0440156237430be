/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/layout.h>

#include "bench.h"
#include "document.h"

#define WAIT_SECONDS 120

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* ---- the agent ---- */

/* Starts the agent that lies beside this program, on the consumer's processor. */
static int agent_start(struct load *load, bool handover)
{
	const char *interval = load->options.interval ? load->options.interval : "1s";
	struct bench_cpus cpus;
	char path[4096];
	ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - sizeof("shmbus-agent"));
	char *slash;
	int error = bench_cpus_find(&cpus);

	if (size < 0)
		return -errno;
	if (error)
		return error;
	path[size] = '\0';
	slash = strrchr(path, '/');
	memcpy(slash + 1, "shmbus-agent", sizeof("shmbus-agent"));
	load->agent = fork();
	if (load->agent < 0)
		return -errno;
	if (load->agent == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		bench_cpu_pin(cpus.consumer);
		/* That it is busy is what is measured: its word on it is not needed. */
		if (!freopen("/dev/null", "w", stderr))
			_exit(127);
		execl(path, path, "--bus", load->bus, "--max-sessions", "10000", "--interval",
		      interval, handover ? "--handover" : (char *)NULL, (char *)NULL);
		_exit(127);
	}
	return 0;
}

/* Stops it, and removes what an agent leaves for the next one on its bus. */
static void agent_stop(const struct load *load)
{
	static const char *const suffixes[] = {SHMBUS_AGENT_SUFFIX, SHMBUS_SNAPSHOT_SUFFIX,
					       SHMBUS_CHECKPOINT_SUFFIX};
	char name[80];

	kill(load->agent, SIGTERM);
	waitpid(load->agent, NULL, 0);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(name, sizeof(name), "/" SHMBUS_PREFIX "%s.%s", load->bus, suffixes[i]);
		shm_unlink(name);
	}
}

int load_cpu_seconds(const struct load *load, double *out)
{
	struct timespec time;
	clockid_t clock;
	int error = clock_getcpuclockid(load->agent, &clock);

	if (error)
		return -error;
	if (clock_gettime(clock, &time) != 0)
		return -errno;
	*out = (double)time.tv_sec + (double)time.tv_nsec / 1e9;
	return 0;
}

int load_memory_kib(const struct load *load, double *resident, double *own)
{
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)load->agent);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	*resident = *own = -1;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, "VmRSS:", 6) == 0)
			*resident = strtod(line + 6, NULL);
		if (strncmp(line, "RssAnon:", 8) == 0)
			*own = strtod(line + 8, NULL);
	}
	fclose(file);
	return *resident < 0 || *own < 0 ? -ESRCH : 0;
}

int load_numbers_decode(const struct shmbus_snapshot *snapshot, struct load_numbers *out)
{
	struct document document;
	const msgpack_object *agent;
	int error = document_decode(&document, snapshot->data, snapshot->size);

	if (error)
		return error;
	agent = member(&document.root, "agent");
	*out = (struct load_numbers){
		.seq = snapshot->seq,
		.publish_ns = member_u64(agent, "publish_ns", 0),
		.encoded_sessions = member_u64(agent, "encoded_sessions", 0),
		.sessions_active =
			member_u64(member(&document.root, "totals"), "sessions_active", 0),
		.samples_total = member_u64(agent, "samples_total", 0),
		.dropped_total = member_u64(agent, "dropped_total", 0),
	};
	document_free(&document);
	return 0;
}

int load_numbers_read(const struct load *load, struct load_numbers *out)
{
	struct shmbus_snapshot snapshot;
	int error = shmbus_snapshot_read(load->reader, &snapshot);

	return error ? error : load_numbers_decode(&snapshot, out);
}

/* ---- space ---- */

static double files_kib(const struct load *load, const char *pattern)
{
	char path[128];
	double kib = 0;
	struct stat status;
	glob_t found;

	snprintf(path, sizeof(path), "/dev/shm/" SHMBUS_PREFIX "%s.%s", load->bus, pattern);
	if (glob(path, GLOB_NOSORT, NULL, &found) != 0)
		return 0;
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (stat(found.gl_pathv[i], &status) == 0)
			kib += (double)status.st_blocks / 2;
	globfree(&found);
	return kib;
}

int load_space_read(const struct load *load, struct load_space *out)
{
	out->sessions_kib = files_kib(load, "s.*");
	out->checkpoint_kib = files_kib(load, SHMBUS_CHECKPOINT_SUFFIX);
	out->snapshot_kib = files_kib(load, SHMBUS_SNAPSHOT_SUFFIX);
	return out->sessions_kib > 0 && out->checkpoint_kib > 0 ? 0 : -ENOENT;
}

/* ---- sessions ---- */

static int session_open(const struct load *load, struct load_session *session)
{
	struct shmbus_session_options options = {.bus = load->bus, .service = "bench"};
	struct shmbus_writer_options writer = {.capacity = load->options.capacity};
	struct shmbus_metric_options timer = {.kind = SHMBUS_TIMER};
	char name[32];
	int error = shmbus_session_open(&options, &session->session);

	if (!error)
		error = shmbus_writer_open(session->session, &writer, &session->writer);
	for (uint32_t i = 0; !error && i < load->options.timers; i++) {
		snprintf(name, sizeof(name), "timer%u", i);
		timer.name = name;
		error = shmbus_metric_define(session->session, &timer, &session->timers[i]);
	}
	if (error)
		fprintf(stderr, "shmbus-bench: %s\n", shmbus_strerror(error));
	return error;
}

/* Until the snapshot shows so many sessions. */
static int sessions_wait(const struct load *load, uint32_t count)
{
	uint64_t end = bench_now_ns() + WAIT_SECONDS * 1000000000ull;
	struct load_numbers numbers;

	while (bench_now_ns() < end) {
		if (load_numbers_read(load, &numbers) == 0 && numbers.sessions_active == count)
			return 0;
		if (waitpid(load->agent, NULL, WNOHANG) != 0)
			break;
		sleep_ms(50);
	}
	fprintf(stderr, "shmbus-bench: the agent has not found all sessions\n");
	return -ETIME;
}

static void descriptors_raise(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int load_start(const struct load_options *options, struct load **out)
{
	struct load *load = calloc(1, sizeof(*load));
	int error = -ENOMEM;

	if (!load)
		return -ENOMEM;
	load->options = *options;
	load->random = 88172645463325252u;
	descriptors_raise();
	bench_bus_name(load->bus, sizeof(load->bus));
	load->sessions = calloc(options->sessions, sizeof(*load->sessions));
	if (load->sessions)
		error = shmbus_snapshot_open(load->bus, &load->reader);
	if (!error)
		error = agent_start(load, false);
	for (uint32_t s = 0; !error && s < options->sessions; s++)
		error = session_open(load, &load->sessions[s]);
	if (!error)
		error = sessions_wait(load, options->sessions);
	if (error) {
		load_stop(load);
		return error;
	}
	*out = load;
	return 0;
}

int load_restart(struct load *load, double *ms)
{
	struct shmbus_snapshot snapshot;
	uint64_t seq, start;
	int error;

	kill(load->agent, SIGKILL);
	waitpid(load->agent, NULL, 0);
	load->agent = 0;
	error = shmbus_snapshot_read(load->reader, &snapshot);
	if (error)
		return error;
	seq = snapshot.seq;
	start = bench_now_ns();
	error = agent_start(load, false);
	while (!error && snapshot.seq == seq) {
		if (bench_now_ns() - start > WAIT_SECONDS * UINT64_C(1000000000))
			return -ETIME;
		sleep_ms(5);
		error = shmbus_snapshot_read(load->reader, &snapshot);
		if (error == -EAGAIN || error == -ENOENT)
			error = 0;
	}
	*ms = (double)(bench_now_ns() - start) / 1e6;
	return error;
}

int load_hand_over(struct load *load, pid_t *before)
{
	*before = load->agent;
	return agent_start(load, true);
}

/* It removes the segments of sessions that were closed. */
static void segments_wait(const struct load *load)
{
	for (int i = 0; i < WAIT_SECONDS * 20 && files_kib(load, "s.*") > 0; i++)
		sleep_ms(50);
}

void load_stop(struct load *load)
{
	if (!load)
		return;
	for (uint32_t s = 0; load->sessions && s < load->options.sessions; s++)
		shmbus_session_close(load->sessions[s].session);
	if (load->agent > 0) {
		segments_wait(load);
		agent_stop(load);
	}
	shmbus_snapshot_close(load->reader);
	free(load->sessions);
	free(load);
}

void load_record_all(struct load *load, uint32_t sessions)
{
	for (uint32_t s = 0; s < sessions; s++)
		for (uint32_t t = 0; t < load->options.timers; t++)
			load_record(load, s, t);
}

void load_sleep_until(uint64_t ns)
{
	struct timespec time = {.tv_sec = (time_t)(ns / 1000000000u),
				.tv_nsec = (long)(ns % 1000000000u)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

void load_run(struct load *load, uint32_t hz, bool all_timers, double seconds)
{
	uint64_t next = bench_now_ns(), end = next + (uint64_t)(seconds * 1e9), turn = 0;
	uint64_t period_ns = 1000000000u / (hz ? hz : 1);

	for (; hz != 0 && next < end; next += period_ns, turn++) {
		load_sleep_until(next);
		if (all_timers)
			load_record_all(load, load->options.sessions);
		for (uint32_t s = 0; !all_timers && s < load->options.sessions; s++)
			load_record(load, s, (uint32_t)(turn % load->options.timers));
	}
	load_sleep_until(end);
}

void load_account(const struct load *load, uint64_t *recorded, uint64_t *dropped)
{
	struct shmbus_writer_stats stats;

	*recorded = *dropped = 0;
	for (uint32_t s = 0; s < load->options.sessions; s++) {
		shmbus_writer_stats_get(load->sessions[s].writer, &stats);
		*recorded += stats.recorded;
		*dropped += stats.dropped;
	}
}
