/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "log_record.h"
#include "log_state.h"

static const char *beside(const struct log_file *file, const char *suffix, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s%s", file->path, suffix);
	return out;
}

/* True where the key was not known. */
static bool mark(struct log_file *file, const char *key)
{
	struct seen_entry *entry = seen_add(file->seen, key);
	bool fresh = entry != NULL && !entry->written;

	if (entry != NULL)
		entry->finished = entry->queued = entry->written = true;
	return fresh;
}

/* What record_key() made of the session. */
static bool mark_record(struct log_file *file, const json_t *record)
{
	const char *segment = json_string_value(json_object_get(record, "segment"));
	json_int_t incarnation = json_integer_value(json_object_get(record, "incarnation"));
	char clean[RECORD_KEY_SIZE - 24], key[RECORD_KEY_SIZE];

	if (segment == NULL)
		return false;
	text_clean(segment, strlen(segment), clean, sizeof clean);
	snprintf(key, sizeof key, "%s %llu", clean, (unsigned long long)incarnation);
	return mark(file, key);
}

/* A line without its end: of our own a torn one, which goes; else it gets its end. */
static void mend(struct log_file *file, const char *line, size_t size, off_t start)
{
	static const char ours[] = "{\"event\":";
	size_t compared = size < sizeof ours - 1 ? size : sizeof ours - 1;

	if (strncmp(line, ours, compared) == 0) {
		if (ftruncate(file->fd, start) == 0)
			fprintf(stderr, "shmbus: %s: the last record was cut short; removed\n",
				file->path);
	} else if (write(file->fd, "\n", 1) != 1) {
		fprintf(stderr, "shmbus: %s: the last line has no end\n", file->path);
	}
}

/* Marks the records from `start` on; returns how many were new. */
static uint64_t scan(struct log_file *file, off_t start)
{
	FILE *in = fopen(file->path, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t size;
	uint64_t found = 0;

	if (in == NULL || fseeko(in, start, SEEK_SET) != 0) {
		if (in != NULL)
			fclose(in);
		return 0;
	}
	while ((size = getline(&line, &room, in)) > 0) {
		json_t *record;

		if (line[size - 1] != '\n') {
			mend(file, line, (size_t)size, start);
			break;
		}
		start += size;
		if (strncmp(line, RECORD_SESSION, sizeof RECORD_SESSION - 1) != 0)
			continue;
		record = json_loadb(line, (size_t)size, 0, NULL);
		found += mark_record(file, record);
		json_decref(record);
	}
	free(line);
	fclose(in);
	return found;
}

static uint64_t integer_of(const json_t *map, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(map, key));

	return value > 0 ? (uint64_t)value : 0;
}

void log_state_load(struct log_file *file)
{
	char path[PATH_MAX];
	json_t *state = json_load_file(beside(file, ".state", path), 0, NULL);
	const char *bus = json_string_value(json_object_get(state, "bus"));
	const json_t *sessions = json_object_get(state, "sessions");
	struct stat now;
	uint64_t found;
	off_t start = 0;

	for (size_t i = 0; i < json_array_size(sessions); i++) {
		const char *key = json_string_value(json_array_get(sessions, i));

		if (key != NULL)
			mark(file, key);
	}
	if (fstat(file->fd, &now) == 0 && integer_of(state, "inode") == now.st_ino &&
	    integer_of(state, "size") <= (uint64_t)now.st_size)
		start = (off_t)integer_of(state, "size");
	found = scan(file, start);
	if (bus != NULL && strcmp(bus, file->bus) == 0) {
		file->finished_total = integer_of(state, "sessions_finished") + found;
		file->finished_known = true;
	}
	json_decref(state);
}

void log_state_forget(const struct log_file *file)
{
	char path[PATH_MAX];

	unlink(beside(file, ".state", path));
}

static json_t *state_of(const struct log_file *file)
{
	json_t *state = json_object(), *sessions = json_array();
	uint64_t waiting = 0;
	struct stat now;

	for (size_t i = 0; i < file->seen->size; i++) {
		const struct seen_entry *entry = file->seen->slots[i];

		if (entry != NULL && entry->written)
			json_array_append_new(sessions, json_string(entry->key));
		else if (entry != NULL && entry->finished)
			waiting++;
	}
	json_object_set_new(state, "bus", json_string(file->bus));
	if (file->fd >= 0 && fstat(file->fd, &now) == 0) {
		json_object_set_new(state, "inode", json_integer((json_int_t)now.st_ino));
		json_object_set_new(state, "size", json_integer(now.st_size));
	}
	if (file->finished_known && file->finished_total >= waiting)
		json_object_set_new(state, "sessions_finished",
				    json_integer((json_int_t)(file->finished_total - waiting)));
	json_object_set_new(state, "sessions", sessions);
	return state;
}

void log_state_save(struct log_file *file)
{
	char path[PATH_MAX], made[PATH_MAX];
	json_t *state;
	int error = 0;

	if (file->path == NULL)
		return;
	state = state_of(file);
	errno = ENOMEM;
	if (json_dump_file(state, beside(file, ".state.new", made), JSON_COMPACT) != 0 ||
	    rename(made, beside(file, ".state", path)) != 0)
		error = errno != 0 ? errno : EIO;
	json_decref(state);
	if (error != 0)
		unlink(made);
	file->save_error = error;
	file->unsaved = error != 0;
}
