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
	_Atomic bool failed; /* a thread has said why */
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

static uint64_t period_ns(const struct options *options)
{
	return (uint64_t)options->quantum * 1000000000u / options->rate_hz;
}

/* A while, of a cycle's order, after which a queue is looked at again. */
static void nap(const struct engine *engine)
{
	uint64_t ns = period_ns(engine->options) * 2;
	struct timespec time = {.tv_nsec = ns < 10000000 ? (long)ns : 10000000};

	nanosleep(&time, NULL);
}

static bool stopping(const struct engine *engine)
{
	return atomic_load_explicit(engine->stop, memory_order_relaxed);
}

/* ---- disk ---- */

static void *disk_run(void *data)
{
	struct engine *engine = data;

	while (!stopping(engine)) {
		struct block *block = queue_space(&engine->input);

		if (block == NULL) {
			nap(engine);
			continue;
		}
		block->born = shmbus_now();
		if (!source_read(engine->source, engine->metrics, block->samples,
				 engine->options->quantum)) {
			atomic_store_explicit(&engine->failed, true, memory_order_relaxed);
			break;
		}
		queue_put(&engine->input);
	}
	atomic_store_explicit(&engine->disk_done, true, memory_order_release);
	return NULL;
}

/* ---- audio ---- */

struct pace {
	uint64_t next_ns;    /* CLOCK_MONOTONIC of the next cycle's start */
	double ticks_per_ns; /* of shmbus_now() */
};

static void pace_begin(struct pace *pace)
{
	struct timespec time = {.tv_nsec = 20000000};
	uint64_t ns = monotonic_ns(), ticks = shmbus_now();

	nanosleep(&time, NULL);
	pace->next_ns = monotonic_ns();
	pace->ticks_per_ns = (double)(shmbus_now() - ticks) / (double)(pace->next_ns - ns);
}

/* Sleeps until the device calls. Returns when it awoke, and when the device had called: so
 * long before as the sleep took too long. */
static uint64_t pace_wait(struct pace *pace, uint64_t period, uint64_t *signal)
{
	struct timespec until;
	uint64_t awake, now;

	pace->next_ns += period;
	until.tv_sec = (time_t)(pace->next_ns / 1000000000u);
	until.tv_nsec = (long)(pace->next_ns % 1000000000u);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	awake = shmbus_now();
	now = monotonic_ns();
	*signal = awake;
	if (now > pace->next_ns) /* a signal may have woken us before */
		*signal -= (uint64_t)((double)(now - pace->next_ns) * pace->ticks_per_ns);
	return awake;
}

/* A device that was not served in time goes on with the next cycle; it does not catch up.
 * Returns whether it had to go without. */
static bool pace_skip(struct pace *pace, uint64_t period)
{
	uint64_t now = monotonic_ns();

	if (now <= pace->next_ns + period)
		return false;
	pace->next_ns += (now - pace->next_ns) / period * period;
	return true;
}

/* A limiter without look-ahead, and the meter behind it. */
static double limit(float *samples, uint32_t frames)
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
	shmbus_set_real(m->audio, m->level, limit(out->samples, engine->options->quantum));
	if (overloaded)
		overload(engine, started_ns, in->samples);
	shmbus_record(m->audio, m->process, start);
}

/* Nothing is lost where a queue lets it down: without input silence is played, and without
 * room for the output the input waits. */
static void cycle(struct engine *engine, uint64_t number, uint64_t signal, uint64_t awake)
{
	const struct options *options = engine->options;
	struct metrics *m = engine->metrics;
	uint64_t awake_ns = monotonic_ns();
	bool overloaded = options->overload_percent != 0 && number % options->overload_every == 0;
	const struct block *in = queue_peek(&engine->input);
	struct block *out = queue_space(&engine->played);

	if (number % 100 == 1)
		shmbus_correlate(m->audio, number);
	shmbus_set(m->audio, m->queue_depth, queue_depth(&engine->input));
	if (in == NULL || out == NULL)
		shmbus_xrun(m->audio, &m->cycle);
	if (out != NULL && in != NULL) {
		out->born = in->born;
		process(engine, in, out, awake_ns, overloaded);
		queue_drop(&engine->input);
	} else if (out != NULL) {
		out->born = awake;
		memset(out->samples, 0, options->quantum * sizeof(float));
	}
	if (out != NULL) {
		queue_put(&engine->played);
		shmbus_add(m->audio, m->frames, options->quantum);
	}
	shmbus_add(m->audio, m->cycles, 1);
	shmbus_add(m->audio, m->media_time, (int64_t)period_ns(options));
	shmbus_cycle(m->audio, &m->cycle, signal, awake, shmbus_now(), options->quantum);
}

/* Both are a matter of rights; the player plays on without. */
static void realtime_ask(void)
{
	struct sched_param param = {.sched_priority = 70};
	int error = pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);

	if (error != 0)
		fprintf(stderr,
			"shmbus-player: playing without SCHED_FIFO: %s (priority 70 takes "
			"CAP_SYS_NICE or RLIMIT_RTPRIO)\n",
			strerror(error));
	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		fprintf(stderr,
			"shmbus-player: playing without locked memory: %s (it takes CAP_IPC_LOCK "
			"or RLIMIT_MEMLOCK)\n",
			strerror(errno));
}

static bool disk_is_done(const struct engine *engine)
{
	return atomic_load_explicit(&engine->disk_done, memory_order_acquire);
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
	while (!stopping(engine) && !disk_is_done(engine) &&
	       queue_depth(&engine->input) < QUEUE_BLOCKS / 2)
		nap(engine);
	pace_begin(&pace);
	end_ns = options->seconds > 0 ? pace.next_ns + (uint64_t)(options->seconds * 1e9)
				      : UINT64_MAX;
	shmbus_set(m->audio, m->state, STATE_PLAYING);
	for (uint64_t number = 1; !stopping(engine) && pace.next_ns < end_ns; number++) {
		uint64_t signal, awake = pace_wait(&pace, period, &signal);

		cycle(engine, number, signal, awake);
		/* A driver would report it at its next call. */
		if (pace_skip(&pace, period))
			shmbus_xrun(m->audio, &m->cycle);
		if (disk_is_done(engine) && queue_depth(&engine->input) == 0)
			break;
	}
	shmbus_set(m->audio, m->state, STATE_DRAINING);
	atomic_store_explicit(engine->stop, true, memory_order_relaxed);
	atomic_store_explicit(&engine->audio_done, true, memory_order_release);
	return NULL;
}

/* ---- sink ---- */

static void output_failed(struct engine *engine, const char *why)
{
	if (!atomic_exchange(&engine->failed, true))
		fprintf(stderr, "shmbus-player: cannot write %s: %s\n", engine->options->output,
			why);
	atomic_store_explicit(engine->stop, true, memory_order_relaxed);
}

static void sink_take(struct engine *engine, const struct block *block)
{
	static float nowhere[QUANTUM_MAX];
	const struct metrics *m = engine->metrics;
	uint32_t frames = engine->options->quantum;
	uint64_t start = shmbus_now();

	if (engine->output == NULL)
		memcpy(nowhere, block->samples, frames * sizeof(float));
	else if (sf_writef_float(engine->output, block->samples, frames) != frames)
		output_failed(engine, sf_strerror(engine->output));
	shmbus_record(m->sink, m->write, start);
	shmbus_record(m->sink, m->latency, block->born);
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
		nap(engine);
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
	if (source_has(engine->source, engine->options->output)) {
		fprintf(stderr, "shmbus-player: cannot write %s: it is being played\n",
			engine->options->output);
		return 1;
	}
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
		atomic_store(&engine->failed, true);
		atomic_store(engine->stop, true);
		atomic_store(&engine->audio_done, true);
	}
	for (int i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

struct engine *engine_new(const struct options *options)
{
	struct engine *engine = aligned_alloc(64, (sizeof *engine + 63) / 64 * 64);

	if (engine == NULL)
		return NULL;
	memset(engine, 0, sizeof *engine);
	engine->options = options;
	engine->source = source_open(options);
	if (engine->source == NULL)
		goto fail;
	engine->convolver = room_make(options);
	engine->burner = room_make(options);
	if (engine->convolver == NULL || engine->burner == NULL) {
		fprintf(stderr, "shmbus-player: no memory for the convolution\n");
		goto fail;
	}
	return engine;

fail:
	engine_free(engine);
	return NULL;
}

void engine_free(struct engine *engine)
{
	source_close(engine->source);
	convolver_free(engine->convolver);
	convolver_free(engine->burner);
	free(engine);
}

int engine_run(struct engine *engine, struct metrics *metrics, _Atomic bool *stop)
{
	engine->metrics = metrics;
	engine->stop = stop;
	if (output_open(engine) != 0)
		return 1;
	threads_run(engine);
	if (engine->output != NULL) {
		int error = sf_close(engine->output);

		if (error != 0)
			output_failed(engine, sf_error_number(error));
	}
	return atomic_load(&engine->failed) ? 1 : 0;
}
