/* SPDX-License-Identifier: MIT */
/*
 * gateway.c - how long a scrape takes: a real gateway beside a real agent with 1000 busy sessions,
 * and a client that keeps its connection, as Prometheus does. The client looks when it has
 * nothing else to do, so it also meets the moments at which a new snapshot is being rendered.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "load.h"

#define SESSIONS 1000u
#define TIMERS 8u
#define SCRAPES_MAX 1000
#define URL_SIZE 160

static const struct kind {
	const char *path;
	const char *accept;
	const char *first_id, *first_what; /* NULL: not of interest */
	const char *body_id, *body_what;
} kinds[] = {
	{"metrics", "Accept: text/plain;version=0.0.4", "metrics_first_byte_ms",
	 "/metrics, 1000 sessions, first byte", "metrics_body_ms",
	 "/metrics, 1000 sessions, whole body"},
	{"metrics",
	 "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
	 "encoding=delimited",
	 NULL, NULL, "gateway.protobuf_ms", "the same as protobuf, with native histograms"},
	{"metrics?sessions=1", "Accept: text/plain;version=0.0.4", NULL, NULL,
	 "gateway.sessions_ms", "the same with series for each session, capped"},
};

/* ---- the gateway ---- */

struct gateway {
	pid_t pid;
	char url[URL_SIZE]; /* ends with a slash */
};

static void gateway_exec(const char *bus, int messages)
{
	char path[512];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 32);
	char *slash;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (length <= 0)
		_exit(127);
	path[length] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash + 1, "shmbus-gateway");
	dup2(messages, STDERR_FILENO);
	execl(path, path, "--bus", bus, "--listen", "127.0.0.1:0", NULL);
	_exit(127);
}

/* Where it listens, from its first line. */
static int address_read(int messages, char url[URL_SIZE])
{
	char line[256];
	FILE *file = fdopen(messages, "r");
	const char *at = NULL;

	if (file == NULL) {
		close(messages);
		return -errno;
	}
	if (fgets(line, sizeof(line), file) != NULL)
		at = strstr(line, "http://");
	if (at != NULL)
		snprintf(url, URL_SIZE, "%.*s", (int)strcspn(at, "\n"), at);
	fclose(file);
	return at != NULL ? 0 : -ECHILD;
}

static void gateway_stop(const struct gateway *gateway)
{
	kill(gateway->pid, SIGTERM);
	waitpid(gateway->pid, NULL, 0);
}

static int gateway_start(struct gateway *gateway, const char *bus)
{
	int messages[2], error;

	if (pipe2(messages, O_CLOEXEC) != 0)
		return -errno;
	gateway->pid = fork();
	if (gateway->pid == 0)
		gateway_exec(bus, messages[1]);
	close(messages[1]);
	if (gateway->pid < 0) {
		close(messages[0]);
		return -EAGAIN;
	}
	error = address_read(messages[0], gateway->url);
	if (error)
		gateway_stop(gateway);
	return error;
}

/* ---- scrapes ---- */

struct scrapes {
	double first_ms[SCRAPES_MAX];
	double body_ms[SCRAPES_MAX];
	size_t bytes; /* of the last body */
};

static size_t count_bytes(char *data, size_t size, size_t count, void *bytes)
{
	(void)data;
	*(size_t *)bytes += size * count;
	return size * count;
}

static int scrape(CURL *curl, struct scrapes *scrapes, size_t i)
{
	curl_off_t first_us, total_us;
	long status;

	scrapes->bytes = 0;
	if (curl_easy_perform(curl) != CURLE_OK ||
	    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK || status != 200)
		return -EPROTO;
	curl_easy_getinfo(curl, CURLINFO_STARTTRANSFER_TIME_T, &first_us);
	curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME_T, &total_us);
	scrapes->first_ms[i] = (double)first_us / 1e3;
	scrapes->body_ms[i] = (double)total_us / 1e3;
	return 0;
}

static int scrape_all(CURL *curl, struct load *load, struct scrapes *scrapes, size_t count)
{
	/* The connection is made, and a first rendering. */
	int error = scrape(curl, scrapes, 0);

	for (size_t i = 0; !error && i < count; i++) {
		/* Each snapshot is another one. */
		if (i % 50 == 0)
			load_record_all(load, SESSIONS);
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
		error = scrape(curl, scrapes, i);
	}
	return error;
}

static int kind_run(struct bench *bench, struct load *load, const struct gateway *gateway,
		    const struct kind *kind)
{
	size_t count = bench_rounds(bench, 300, SCRAPES_MAX);
	struct scrapes *scrapes = calloc(1, sizeof(*scrapes));
	struct curl_slist *headers = curl_slist_append(NULL, kind->accept);
	CURL *curl = curl_easy_init();
	char url[URL_SIZE + 32];
	int error = -ENOMEM;

	if (!scrapes || !headers || !curl)
		goto out;
	bench_progress(bench, "%s", kind->body_what);
	snprintf(url, sizeof(url), "%s%s", gateway->url, kind->path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, count_bytes);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &scrapes->bytes);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
	error = scrape_all(curl, load, scrapes, count);
	if (error)
		goto out;
	if (kind->first_id)
		bench_figure(bench, kind->first_id, kind->first_what, "ms", scrapes->first_ms,
			     count);
	bench_figure(bench, kind->body_id, kind->body_what, "ms", scrapes->body_ms, count);
	bench_note(bench, "%s: %zu bytes", kind->path, scrapes->bytes);
out:
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	free(scrapes);
	return error;
}

static int gateway_run(struct bench *bench)
{
	struct load_options options = {.sessions = SESSIONS, .timers = TIMERS, .capacity = 1024};
	struct gateway gateway;
	struct load *load;
	int error;

	bench_progress(bench, "opening");
	error = load_start(&options, &load);
	if (error)
		return error;
	for (int i = 0; i < 100; i++)
		load_record_all(load, SESSIONS);
	load_run(load, 0, false, 2.5);
	error = gateway_start(&gateway, load->bus);
	if (error)
		goto stop_load;
	load_run(load, 0, false, 1.5); /* it has a snapshot */
	for (size_t i = 0; !error && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		error = kind_run(bench, load, &gateway, &kinds[i]);
	gateway_stop(&gateway);
stop_load:
	load_stop(load);
	return error;
}

const struct bench_part bench_part_gateway = {"gateway", "how long a scrape of /metrics takes",
					      gateway_run, true};
