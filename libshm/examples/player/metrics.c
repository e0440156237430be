/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>

#include <samplerate.h>
#include <sndfile.h>

#include "metrics.h"

static bool warned;

static void check(int error)
{
	if (error == 0 || warned)
		return;
	warned = true;
	fprintf(stderr, "shmbus-player: playing without metrics: %s\n", shmbus_strerror(error));
}

static shmbus_metric timer(struct metrics *metrics, const char *name, const char *stage,
			   const char *help, uint64_t target_ns)
{
	struct shmbus_metric_options options = {
		.name = name,
		.kind = SHMBUS_TIMER,
		.stage = stage,
		.help = help,
		.target = target_ns,
	};
	shmbus_metric metric;

	check(shmbus_metric_define(metrics->session, &options, &metric));
	return metric;
}

static shmbus_metric value(struct metrics *metrics, const char *name, enum shmbus_kind kind,
			   const char *unit, const char *text, bool real)
{
	struct shmbus_metric_options options = {
		.name = name, .kind = kind, .unit = unit, .text = text, .real = real};
	shmbus_metric metric;

	check(shmbus_metric_define(metrics->session, &options, &metric));
	return metric;
}

static void derive(struct metrics *metrics, const char *name, enum shmbus_derive rule, double scale,
		   shmbus_metric numerator, const shmbus_metric *denominator, size_t count)
{
	struct shmbus_derived_options options = {
		.name = name,
		.rule = rule,
		.scale = scale,
		.numerator = &numerator,
		.numerator_count = 1,
		.denominator = denominator,
		.denominator_count = count,
	};

	check(shmbus_derived_define(metrics->session, &options));
}

static void derive_all(struct metrics *m)
{
	shmbus_metric stages[] = {m->read, m->process, m->write};

	derive(m, "realtime.factor", SHMBUS_DERIVE_RATIO, 1, m->cycle.busy, &m->media_time, 1);
	derive(m, "xrun.percent", SHMBUS_DERIVE_RATIO, 100, m->cycle.xruns, &m->cycles, 1);
	/* What a cycle does beside its work, and how long a block lies in the queues. */
	derive(m, "unattributed", SHMBUS_DERIVE_REMAINDER, 1, m->cycle.busy, &m->process, 1);
	derive(m, "queued", SHMBUS_DERIVE_REMAINDER, 1, m->latency, stages, 3);
}

static void define_all(struct metrics *m, const struct options *options)
{
	uint64_t period_ns = (uint64_t)options->quantum * 1000000000u / options->rate_hz;
	struct shmbus_cycle_options cycle = {
		.name = "cycle",
		.stage = "process",
		.rate_hz = options->rate_hz,
		.quantum = options->quantum,
	};
	char build[SHMBUS_TEXT_SIZE];

	m->decode = timer(m, "decode", "read", "decoding a piece of a file", 0);
	m->read =
		timer(m, "read", "read", "one block from the files: decoding, rate conversion", 0);
	m->process = timer(m, "process", "process", "all work on one block", period_ns / 2);
	m->convolve = timer(m, "convolve", "process", "the convolution's part of it", 0);
	m->write = timer(m, "write", "write", "handing one block to the sink", 0);
	m->latency = timer(m, "latency", NULL, "one block from its reading to the sink", 0);
	check(shmbus_cycle_define(m->session, &cycle, &m->cycle));
	m->frames = value(m, "frames", SHMBUS_COUNTER, "{frame}", NULL, false);
	m->cycles = value(m, "cycles", SHMBUS_COUNTER, "{cycle}", NULL, false);
	m->media_time = value(m, "media.time", SHMBUS_COUNTER, "ns", NULL, false);
	m->queue_depth = value(m, "queue.depth", SHMBUS_GAUGE, "{block}", NULL, false);
	m->level = value(m, "level.peak", SHMBUS_GAUGE, "dB", NULL, true);
	m->state =
		value(m, "state", SHMBUS_STATESET, "1", "starting|playing|draining|stopped", false);
	snprintf(build, sizeof build, "%.24s; %.30s", sf_version_string(), src_get_version());
	value(m, "build", SHMBUS_INFO, "1", build, false);
	derive_all(m);
}

static struct shmbus_writer *writer(struct metrics *metrics, const char *name, uint32_t ring)
{
	struct shmbus_writer_options options = {.name = name, .capacity = ring};
	struct shmbus_writer *opened;

	check(shmbus_writer_open(metrics->session, &options, &opened));
	return opened;
}

int metrics_open(struct metrics *metrics, const struct options *options)
{
	char rate[16], quantum[16];
	int error;
	struct shmbus_session_options session = {
		.bus = options->bus,
		.service = options->service,
		.id = options->id,
		.labels = options->labels,
		.label_count = options->label_count,
		.lock_memory = options->realtime,
	};

	snprintf(rate, sizeof rate, "%u", options->rate_hz);
	snprintf(quantum, sizeof quantum, "%u", options->quantum);
	error = shmbus_session_open(&session, &metrics->session);
	if (error == -EINVAL || error == -E2BIG) {
		fprintf(stderr, "shmbus-player: %s\n", shmbus_strerror(error));
		return 2;
	}
	check(error);
	check(shmbus_label_set(metrics->session, "rate", rate));
	check(shmbus_label_set(metrics->session, "quantum", quantum));
	metrics->disk = writer(metrics, "disk", options->ring);
	metrics->audio = writer(metrics, "audio", options->ring);
	metrics->sink = writer(metrics, "sink", options->ring);
	define_all(metrics, options);
	shmbus_set(metrics->audio, metrics->state, STATE_STARTING);
	if (!options->quiet && shmbus_session_id(metrics->session)[0] != '\0')
		fprintf(stderr, "shmbus-player: session %s, %s frames at %s Hz\n",
			shmbus_session_id(metrics->session), quantum, rate);
	return 0;
}

static void report(const char *name, const struct shmbus_writer_stats *stats, const char *after)
{
	printf("\"%s\":{\"attempted\":%llu,\"recorded\":%llu,\"dropped\":%llu}%s", name,
	       (unsigned long long)stats->attempted, (unsigned long long)stats->recorded,
	       (unsigned long long)stats->dropped, after);
}

void metrics_close(struct metrics *metrics, const struct options *options)
{
	struct shmbus_writer_stats disk, audio, sink;

	shmbus_set(metrics->audio, metrics->state, STATE_STOPPED);
	shmbus_writer_stats_get(metrics->disk, &disk);
	shmbus_writer_stats_get(metrics->audio, &audio);
	shmbus_writer_stats_get(metrics->sink, &sink);
	/* Before the report: whoever reads it may have gone. */
	shmbus_session_close(metrics->session);
	if (options->report) {
		putchar('{');
		report("disk", &disk, ",");
		report("audio", &audio, ",");
		report("sink", &sink, "}\n");
	}
}
