/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <sndfile.h>

#include "convolver.h"
#include "engine.h"
#include "queue.h"
#include "source.h"

struct engine {
	const struct options *options;
	struct metrics *metrics;
	_Atomic bool *stop;
	_Atomic bool disk_done;
	_Atomic bool audio_done;
	struct source *source;
	struct convolver *convolver;
	struct convolver *burner; /* real work too, for overload; its result is not heard */
	SNDFILE *output;
	struct queue input;
	struct queue played;
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void nap(uint64_t ns)
{
	struct timespec time = {.tv_nsec = (long)ns};

	nanosleep(&time, NULL);
}

static bool stopping(const struct engine *engine)
{
	return atomic_load_explicit(engine->stop, memory_order_relaxed);
}

static uint64_t period_ns(const struct options *options)
{
	return (uint64_t)options->quantum * 1000000000u / options->rate_hz;
}

/* ---- disk ---- */

static void *disk_run(void *data)
{
	struct engine *engine = data;
	uint64_t number = 0;

	while (!stopping(engine)) {
		struct block *block = queue_space(&engine->input);

		if (block == NULL) {
			nap(period_ns(engine->options));
			continue;
		}
		block->number = ++number;
		if (!source_read(engine->source, block->samples, engine->options->quantum))
			break;
		queue_put(&engine->input);
	}
	atomic_store_explicit(&engine->disk_done, true, memory_order_release);
	return NULL;
}

/* ---- audio ---- */

struct pace {
	uint64_t next_ns; /* CLOCK_MONOTONIC of the next cycle's start */
	uint64_t at_ns;   /* the two clocks at one moment, and the counter's rate */
	uint64_t at_ticks;
	double ticks_per_ns;
};

/* Both clocks now, and from two such moments the rate. */
static void pace_begin(struct pace *pace)
{
	uint64_t ns = monotonic_ns(), ticks = shmbus_now();

	nap(20000000);
	pace->at_ns = monotonic_ns();
	pace->at_ticks = shmbus_now();
	pace->ticks_per_ns = (double)(pace->at_ticks - ticks) / (double)(pace->at_ns - ns);
	pace->next_ns = pace->at_ns;
}

/* When the device called, in ticks: the time that was slept until. */
static uint64_t pace_wait(struct pace *pace, uint64_t period)
{
	struct timespec until;
	double ahead;

	pace->next_ns += period;
	until.tv_sec = (time_t)(pace->next_ns / 1000000000u);
	until.tv_nsec = (long)(pace->next_ns % 1000000000u);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	ahead = (double)(int64_t)(pace->next_ns - pace->at_ns) * pace->ticks_per_ns;
	return pace->at_ticks + (uint64_t)ahead;
}

/* A device that was not served in time goes on with the next cycle; it does not catch up. */
static void pace_skip(struct pace *pace, uint64_t period)
{
	uint64_t now = monotonic_ns();

	if (now > pace->next_ns + period)
		pace->next_ns += (now - pace->next_ns) / period * period;
	/* The rate of the counter is known better the longer it is watched. */
	if (now - pace->at_ns > 1000000000u) {
		uint64_t ticks = shmbus_now();

		pace->ticks_per_ns = (double)(ticks - pace->at_ticks) / (double)(now - pace->at_ns);
		pace->at_ns = now;
		pace->at_ticks = ticks;
	}
}

/* A limiter without look-ahead, and the meter behind it. */
static double finish(float *samples, uint32_t frames)
{
	float peak = 0;

	for (uint32_t i = 0; i < frames; i++) {
		samples[i] = tanhf(0.7f * samples[i]);
		peak = fmaxf(peak, fabsf(samples[i]));
	}
	return peak > 0 ? 20 * log10((double)peak) : -120;
}

/* Convolves on until so much of the quantum is used. */
static void overload(struct engine *engine, uint64_t started_ns, const float *samples)
{
	uint64_t limit = period_ns(engine->options) * engine->options->overload_percent / 100;
	float result[QUANTUM_MAX];

	while (monotonic_ns() - started_ns < limit)
		convolver_process(engine->burner, samples, result);
}

static void process(struct engine *engine, const struct block *in, struct block *out,
		    uint64_t started_ns, bool overloaded)
{
	struct metrics *m = engine->metrics;
	uint64_t start = shmbus_now();

	convolver_process(engine->convolver, in->samples, out->samples);
	shmbus_record(m->audio, m->convolve, start);
	shmbus_set_real(m->audio, m->level, finish(out->samples, engine->options->quantum));
	if (overloaded)
		overload(engine, started_ns, in->samples);
	shmbus_record(m->audio, m->process, start);
}

static void cycle(struct engine *engine, uint64_t number, uint64_t signal)
{
	const struct options *options = engine->options;
	struct metrics *m = engine->metrics;
	uint64_t awake = shmbus_now(), awake_ns = monotonic_ns();
	bool overloaded = options->overload_percent != 0 && number % options->overload_every == 0;
	const struct block *in = queue_peek(&engine->input);
	struct block *out = queue_space(&engine->played);

	if (number % 100 == 1)
		shmbus_correlate(m->audio, number);
	shmbus_set(m->audio, m->queue_depth, queue_depth(&engine->input));
	if (in != NULL && out != NULL) {
		out->number = in->number;
		process(engine, in, out, awake_ns, overloaded);
		queue_put(&engine->played);
	} else {
		shmbus_xrun(m->audio, &m->cycle); /* silence is heard */
	}
	if (in != NULL)
		queue_drop(&engine->input);
	shmbus_add(m->audio, m->blocks, 1);
	shmbus_add(m->audio, m->frames, options->quantum);
	shmbus_add(m->audio, m->media_time, (int64_t)period_ns(options));
	shmbus_cycle(m->audio, &m->cycle, signal < awake ? signal : awake, awake, shmbus_now(),
		     options->quantum);
}

static void realtime_ask(void)
{
	struct sched_param param = {.sched_priority = 70};
	int error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);

	if (error != 0 || mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		fprintf(stderr, "shmbus-player: no real-time rights: playing without\n");
}

static void *audio_run(void *data)
{
	struct engine *engine = data;
	const struct options *options = engine->options;
	struct metrics *m = engine->metrics;
	uint64_t period = period_ns(options), end_ns;
	struct pace pace;

	if (options->realtime)
		realtime_ask();
	pace_begin(&pace);
	end_ns = options->seconds > 0 ? pace.next_ns + (uint64_t)(options->seconds * 1e9)
				      : UINT64_MAX;
	shmbus_set(m->audio, m->state, STATE_PLAYING);
	for (uint64_t number = 1; !stopping(engine) && pace.next_ns < end_ns; number++) {
		uint64_t signal = pace_wait(&pace, period);

		cycle(engine, number, signal);
		pace_skip(&pace, period);
		if (atomic_load_explicit(&engine->disk_done, memory_order_acquire) &&
		    queue_depth(&engine->input) == 0)
			break;
	}
	shmbus_set(m->audio, m->state, STATE_DRAINING);
	atomic_store_explicit(engine->stop, true, memory_order_relaxed);
	atomic_store_explicit(&engine->audio_done, true, memory_order_release);
	return NULL;
}

/* ---- sink ---- */

static void sink_take(struct engine *engine, const struct block *block)
{
	static float nowhere[QUANTUM_MAX];
	uint64_t start = shmbus_now();

	if (engine->output != NULL)
		sf_writef_float(engine->output, block->samples, engine->options->quantum);
	else
		memcpy(nowhere, block->samples, engine->options->quantum * sizeof(float));
	shmbus_record(engine->metrics->sink, engine->metrics->write, start);
}

static void *sink_run(void *data)
{
	struct engine *engine = data;

	for (;;) {
		bool last = atomic_load_explicit(&engine->audio_done, memory_order_acquire);
		const struct block *block;

		while ((block = queue_peek(&engine->played)) != NULL) {
			sink_take(engine, block);
			queue_drop(&engine->played);
		}
		if (last)
			return NULL;
		nap(period_ns(engine->options) * 4);
	}
}

/* ---- all of it ---- */

/* A room that does not exist: noise that decays by 60 dB. The same each time. */
static struct convolver *room_make(const struct options *options)
{
	uint32_t length = (uint32_t)((uint64_t)options->rate_hz * options->impulse_ms / 1000);
	float *impulse = malloc((length + 1) * sizeof *impulse);
	struct convolver *convolver = NULL;
	uint32_t seed = 1;

	if (impulse == NULL)
		return NULL;
	for (uint32_t i = 0; i <= length; i++) {
		seed = seed * 1664525u + 1013904223u;
		impulse[i] = ((float)(seed >> 8) / 8388608.0f - 1) * 0.02f *
			     expf(-6.9f * (float)i / (float)(length + 1));
	}
	impulse[0] = 1;
	convolver = convolver_new(impulse, length + 1, options->quantum);
	free(impulse);
	return convolver;
}

static int output_open(struct engine *engine)
{
	SF_INFO info = {.samplerate = (int)engine->options->rate_hz,
			.channels = 1,
			.format = SF_FORMAT_WAV | SF_FORMAT_PCM_16};

	if (engine->options->output == NULL)
		return 0;
	engine->output = sf_open(engine->options->output, SFM_WRITE, &info);
	if (engine->output != NULL)
		return 0;
	fprintf(stderr, "shmbus-player: cannot write %s: %s\n", engine->options->output,
		sf_strerror(NULL));
	return 1;
}

static void threads_run(struct engine *engine)
{
	static void *(*const bodies[])(void *) = {disk_run, sink_run, audio_run};
	pthread_t threads[3];
	int started = 0;

	for (; started < 3; started++)
		if (pthread_create(&threads[started], NULL, bodies[started], engine) != 0)
			break;
	if (started < 3) {
		fprintf(stderr, "shmbus-player: cannot start its threads\n");
		atomic_store(engine->stop, true);
		atomic_store(&engine->audio_done, true);
	}
	for (int i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

int engine_run(const struct options *options, struct metrics *metrics, _Atomic bool *stop)
{
	struct engine *engine = aligned_alloc(64, (sizeof *engine + 63) / 64 * 64);
	int status = 1;

	if (engine == NULL)
		return 1;
	memset(engine, 0, sizeof *engine);
	engine->options = options;
	engine->metrics = metrics;
	engine->stop = stop;
	engine->source = source_open(options, metrics);
	engine->convolver = room_make(options);
	engine->burner = room_make(options);
	if (engine->source != NULL && engine->convolver != NULL && engine->burner != NULL &&
	    output_open(engine) == 0) {
		threads_run(engine);
		status = 0;
	}
	if (engine->output != NULL)
		sf_close(engine->output);
	source_close(engine->source);
	convolver_free(engine->convolver);
	convolver_free(engine->burner);
	free(engine);
	return status;
}
