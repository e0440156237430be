/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
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
	char **files;
	size_t file_count;
	size_t next;   /* file */
	size_t barren; /* files in a row that gave no frame */
	SNDFILE *file;
	SF_INFO info;
	SRC_STATE *converter;
	uint32_t rate_hz;
	float *left; /* of the chunk, where no conversion is needed */
	long left_frames;
	float chunk[CHUNK * CHANNELS_MAX];
};

static double ratio_of(const struct source *source, const SF_INFO *info)
{
	return (double)source->rate_hz / info->samplerate;
}

/* ---- finding files ---- */

/* Why a file cannot be played; NULL: it can. */
static const char *fault_of(const struct source *source, const char *path)
{
	SF_INFO info = {0};
	struct stat status;
	const char *fault = NULL;
	SNDFILE *file;

	if (stat(path, &status) != 0)
		return strerror(errno);
	if (!S_ISREG(status.st_mode))
		return "it is neither a file nor a folder";
	file = sf_open(path, SFM_READ, &info);
	if (file == NULL)
		return sf_strerror(NULL);
	if (info.frames <= 0)
		fault = "it holds no sound";
	else if (info.channels > CHANNELS_MAX)
		fault = "it has more than 8 channels";
	else if (info.samplerate <= 0 || !src_is_valid_ratio(ratio_of(source, &info)))
		fault = "its rate is more than 256 times lower or higher than the device's";
	sf_close(file);
	return fault;
}

static bool file_add(struct source *source, char *path)
{
	char **files = realloc(source->files, (source->file_count + 1) * sizeof *files);

	if (files == NULL || path == NULL) {
		source->files = files != NULL ? files : source->files;
		free(path);
		fprintf(stderr, "shmbus-player: no memory\n");
		return false;
	}
	files[source->file_count++] = path;
	source->files = files;
	return true;
}

/* What else lies in a folder is passed over. */
static bool folder_add(struct source *source, const char *folder)
{
	size_t before = source->file_count;
	struct dirent **entries = NULL;
	int count = scandir(folder, &entries, NULL, alphasort);
	bool added = true;

	for (int i = 0; i < count; i++) {
		char *path = NULL;

		if (added && asprintf(&path, "%s/%s", folder, entries[i]->d_name) >= 0) {
			if (fault_of(source, path) == NULL)
				added = file_add(source, path);
			else
				free(path);
		}
		free(entries[i]);
	}
	free(entries);
	if (added && source->file_count == before) {
		fprintf(stderr,
			"shmbus-player: no audio file in %s: name some, or install "
			"alsa-utils for those in " SOUNDS "\n",
			folder);
		return false;
	}
	return added;
}

static bool path_add(struct source *source, const char *path)
{
	struct stat status;
	const char *fault;

	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return folder_add(source, path);
	fault = fault_of(source, path);
	if (fault == NULL)
		return file_add(source, strdup(path));
	fprintf(stderr,
		"shmbus-player: cannot play %s: %s\n"
		"It plays what libsndfile reads: WAV, AIFF, FLAC, Ogg and others, 1 to 8 "
		"channels.\n",
		path, fault);
	return false;
}

static bool paths_find(struct source *source, const struct options *options)
{
	if (options->path_count == 0)
		return folder_add(source, SOUNDS);
	for (int i = 0; i < options->path_count; i++)
		if (!path_add(source, options->paths[i]))
			return false;
	return true;
}

bool source_has(const struct source *source, const char *path)
{
	struct stat one, other;

	if (stat(path, &one) != 0)
		return false;
	for (size_t i = 0; i < source->file_count; i++)
		if (stat(source->files[i], &other) == 0 && one.st_dev == other.st_dev &&
		    one.st_ino == other.st_ino)
			return true;
	return false;
}

/* ---- reading ---- */

static void file_close(struct source *source)
{
	if (source->file != NULL)
		sf_close(source->file);
	source->file = NULL;
	source->left_frames = 0;
}

static void file_label(const struct source *source, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;

	/* A name that no label may hold: better none than the file's before. */
	if (shmbus_label_set(source->metrics->session, "file", name) != 0)
		shmbus_label_set(source->metrics->session, "file", NULL);
}

static bool file_next(struct source *source)
{
	while (source->barren < source->file_count) {
		const char *path = source->files[source->next];

		source->next = (source->next + 1) % source->file_count;
		source->barren++; /* until it gives a frame */
		source->info = (SF_INFO){0};
		source->file = sf_open(path, SFM_READ, &source->info);
		/* It may have changed since it was found. */
		if (source->file != NULL && source->info.channels <= CHANNELS_MAX &&
		    src_is_valid_ratio(ratio_of(source, &source->info))) {
			src_reset(source->converter);
			file_label(source, path);
			return true;
		}
		file_close(source);
	}
	fprintf(stderr, "shmbus-player: no file can be read any more\n");
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

/* Decodes a piece; 0 at the file's end. The converter calls it when it wants more. */
static long decode(void *data, float **out)
{
	struct source *source = data;
	uint64_t start = shmbus_now();
	sf_count_t frames = sf_readf_float(source->file, source->chunk, CHUNK);

	if (frames > 0)
		to_mono(source->chunk, frames, source->info.channels);
	shmbus_record(source->metrics->disk, source->metrics->decode, start);
	*out = source->chunk;
	return frames > 0 ? (long)frames : 0;
}

/* Up to `frames` of the open file; 0 at its end. At the device's own rate they stay as they
 * are: a converter would take the highest octave's edge away. */
static long pull(struct source *source, float *out, long frames)
{
	if ((uint32_t)source->info.samplerate != source->rate_hz)
		return src_callback_read(source->converter, ratio_of(source, &source->info), frames,
					 out);
	if (source->left_frames == 0)
		source->left_frames = decode(source, &source->left);
	if (frames > source->left_frames)
		frames = source->left_frames;
	memcpy(out, source->left, (size_t)frames * sizeof *out);
	source->left += frames;
	source->left_frames -= frames;
	return frames;
}

struct source *source_open(const struct options *options)
{
	struct source *source = calloc(1, sizeof *source);
	int error;

	if (source == NULL)
		return NULL;
	source->rate_hz = options->rate_hz;
	source->converter = src_callback_new(decode, SRC_SINC_FASTEST, 1, &error, source);
	if (source->converter == NULL)
		fprintf(stderr, "shmbus-player: no rate conversion: %s\n", src_strerror(error));
	if (source->converter == NULL || !paths_find(source, options)) {
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
	for (size_t i = 0; i < source->file_count; i++)
		free(source->files[i]);
	free(source->files);
	if (source->converter != NULL)
		src_delete(source->converter);
	free(source);
}

bool source_read(struct source *source, struct metrics *metrics, float *out, uint32_t frames)
{
	uint64_t start = shmbus_now();
	uint32_t got = 0;

	source->metrics = metrics;
	while (got < frames && (source->file != NULL || file_next(source))) {
		long read = pull(source, out + got, (long)(frames - got));

		if (read > 0) {
			got += (uint32_t)read;
			source->barren = 0;
		} else {
			file_close(source);
		}
	}
	memset(out + got, 0, (frames - got) * sizeof *out);
	shmbus_record(metrics->disk, metrics->read, start);
	return got > 0;
}
