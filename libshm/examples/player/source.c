/* SPDX-License-Identifier: MIT */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <samplerate.h>
#include <sndfile.h>

#include "source.h"

#define SOUNDS "/usr/share/sounds/alsa"
#define CHUNK 512
#define CHANNELS_MAX 8

struct source {
	struct metrics *metrics;
	glob_t files;
	size_t next;   /* file */
	size_t failed; /* files in a row that could not be opened */
	SNDFILE *file;
	SF_INFO info;
	SRC_STATE *converter;
	uint32_t rate_hz;
	float chunk[CHUNK * CHANNELS_MAX];
};

static void paths_find(struct source *source, const struct options *options)
{
	static char sounds_path[] = SOUNDS;
	static char *sounds[] = {sounds_path};
	char **paths = options->path_count > 0 ? options->paths : sounds;
	int count = options->path_count > 0 ? options->path_count : 1;

	for (int i = 0; i < count; i++) {
		char pattern[4096];
		struct stat status;
		bool folder = stat(paths[i], &status) == 0 && S_ISDIR(status.st_mode);

		snprintf(pattern, sizeof pattern, "%s%s", paths[i], folder ? "/*.wav" : "");
		glob(pattern, i > 0 ? GLOB_APPEND : 0, NULL, &source->files);
	}
}

static void file_close(struct source *source)
{
	if (source->file != NULL)
		sf_close(source->file);
	source->file = NULL;
}

static bool file_next(struct source *source)
{
	while (source->failed < source->files.gl_pathc) {
		const char *path = source->files.gl_pathv[source->next];
		const char *name = strrchr(path, '/');

		source->next = (source->next + 1) % source->files.gl_pathc;
		source->info = (SF_INFO){0};
		source->file = sf_open(path, SFM_READ, &source->info);
		if (source->file != NULL && source->info.channels <= CHANNELS_MAX) {
			source->failed = 0;
			shmbus_label_set(source->metrics->session, "file",
					 name != NULL ? name + 1 : path);
			return true;
		}
		file_close(source);
		source->failed++;
	}
	return false;
}

static void to_mono(float *samples, sf_count_t frames, int channels)
{
	for (sf_count_t i = 0; i < frames; i++) {
		float sum = 0;

		for (int c = 0; c < channels; c++)
			sum += samples[i * channels + c];
		samples[i] = sum / (float)channels;
	}
}

/* Called by the converter when it wants more: decodes a piece. */
static long decode(void *data, float **out)
{
	struct source *source = data;
	uint64_t start = shmbus_now();
	sf_count_t frames = 0;

	while (frames == 0 && (source->file != NULL || file_next(source))) {
		frames = sf_readf_float(source->file, source->chunk, CHUNK);
		if (frames <= 0) {
			frames = 0;
			file_close(source);
		}
	}
	if (frames > 0)
		to_mono(source->chunk, frames, source->info.channels);
	shmbus_record(source->metrics->disk, source->metrics->decode, start);
	*out = source->chunk;
	return (long)frames;
}

struct source *source_open(const struct options *options, struct metrics *metrics)
{
	struct source *source = calloc(1, sizeof *source);
	int error;

	if (source == NULL)
		return NULL;
	source->metrics = metrics;
	source->rate_hz = options->rate_hz;
	paths_find(source, options);
	source->converter = src_callback_new(decode, SRC_SINC_FASTEST, 1, &error, source);
	if (source->files.gl_pathc == 0 || source->converter == NULL || !file_next(source)) {
		fprintf(stderr, "shmbus-player: no audio file to play: name some, or install "
				"alsa-utils for those in " SOUNDS "\n");
		source_close(source);
		return NULL;
	}
	return source;
}

void source_close(struct source *source)
{
	if (source == NULL)
		return;
	file_close(source);
	globfree(&source->files);
	if (source->converter != NULL)
		src_delete(source->converter);
	free(source);
}

bool source_read(struct source *source, float *out, uint32_t frames)
{
	uint64_t start = shmbus_now();
	uint32_t got = 0;

	while (got < frames) {
		/* Files of one rate after another: the ratio is that of the open one. */
		double ratio = (double)source->rate_hz /
			       (source->info.samplerate > 0 ? source->info.samplerate : 48000);
		long read = src_callback_read(source->converter, ratio, (long)(frames - got),
					      out + got);

		if (read <= 0)
			break;
		got += (uint32_t)read;
	}
	memset(out + got, 0, (frames - got) * sizeof *out);
	shmbus_record(source->metrics->disk, source->metrics->resample, start);
	return got > 0;
}
