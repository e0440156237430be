/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "log_file.h"
#include "log_state.h"

static char directory[] = "/tmp/shmbus-log-XXXXXX";
static char path[64];
static struct seen seen;
static struct log_file file;

static bool never(void)
{
	return false;
}

static void begin(void)
{
	cr_assert_not_null(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/log", directory);
	file = (struct log_file){.path = path, .bus = "b", .seen = &seen, .stopping = never};
	sigemptyset(&file.interrupts);
	cr_assert_eq(log_file_open(&file, false), 0);
}

static void end(void)
{
	struct dirent *entry;
	DIR *listed;

	log_file_close(&file);
	seen_free(&seen);
	listed = opendir(directory);
	while (listed != NULL && (entry = readdir(listed)) != NULL) {
		char name[400];

		snprintf(name, sizeof name, "%s/%s", directory, entry->d_name);
		unlink(name);
	}
	if (listed != NULL)
		closedir(listed);
	rmdir(directory);
}

TestSuite(log_file, .init = begin, .fini = end);

static char content[8192];

static const char *content_of(const char *suffix)
{
	char name[96];
	size_t size = 0;
	FILE *in;

	snprintf(name, sizeof name, "%s%s", path, suffix);
	in = fopen(name, "r");
	if (in == NULL)
		return "absent";
	size = fread(content, 1, sizeof content - 1, in);
	content[size] = '\0';
	fclose(in);
	return content;
}

static bool put(const char *line, const char *key)
{
	return log_file_put(&file, line, strlen(line), key);
}

/* Nothing of that name can be opened for writing, whoever we are. */
static void obstruct(void)
{
	unlink(path);
	cr_assert_eq(mkdir(path, 0700), 0);
}

Test(log_file, writes_in_order)
{
	cr_assert(put("1\n", NULL));
	cr_assert(put("2\n", NULL));
	cr_assert_eq(log_file_waiting(&file), 2);
	log_file_flush(&file);
	cr_assert_eq(log_file_waiting(&file), 0);
	cr_assert(put("3\n", NULL));
	log_file_flush(&file);
	cr_assert_str_eq(content_of(""), "1\n2\n3\n");
	cr_assert_eq(file.records, 3);
}

Test(log_file, a_session_is_written_when_its_line_is)
{
	seen_add(&seen, "a");
	seen_add(&seen, "b");
	put("1\n", "a");
	cr_assert_not(seen_find(&seen, "a")->written);
	log_file_flush(&file);
	cr_assert(seen_find(&seen, "a")->written);
	cr_assert(file.unsaved);
	obstruct();
	put("2\n", "b");
	log_file_flush(&file);
	cr_assert_not(seen_find(&seen, "b")->written);
	cr_assert_eq(file.error, EISDIR);
	rmdir(path);
	log_file_flush(&file);
	cr_assert(seen_find(&seen, "b")->written);
	cr_assert_eq(file.error, 0);
}

Test(log_file, what_does_not_fit_is_counted_or_refused)
{
	size_t size = LOG_QUEUE_MAX / 2 - 1;
	char *large = malloc(size + 1);

	memset(large, 'x', size);
	large[size] = '\0';
	obstruct();
	cr_assert(put("0\n", NULL));
	cr_assert(put(large, NULL));
	cr_assert(put(large, NULL));
	cr_assert_not(put("y", NULL));
	cr_assert_not(put("y", NULL));
	cr_assert_not(put("y", "key"), "its owner keeps it");
	cr_assert_eq(log_file_waiting(&file), 3);
	free(large);
	rmdir(path);
	log_file_flush(&file);
	cr_assert_eq(log_file_waiting(&file), 0);
	content_of("");
	cr_assert_eq(strncmp(content, "0\n{\"event\":\"gap\",", 17), 0, "it begins %.40s", content);
	cr_assert_not_null(strstr(content, "\"what\":\"write\",\"reason\":\"Is a directory\""));
	cr_assert_not_null(strstr(content, "\"records_dropped\":2}\n"));
	cr_assert(put("y\n", NULL));
}

Test(log_file, rotates_before_it_is_too_large)
{
	static const char line[] = "1234567890123456789\n";
	struct stat status;
	char name[96];

	file.rotate_size = 100;
	file.rotate_keep = 2;
	for (int i = 0; i < 16; i++)
		put(line, NULL);
	log_file_flush(&file);
	cr_assert_eq(strlen(content_of("")), 20);
	cr_assert_eq(strlen(content_of(".1")), 100, "full to the last byte");
	cr_assert_eq(strlen(content_of(".2")), 100);
	cr_assert_str_eq(content_of(".3"), "absent");
	snprintf(name, sizeof name, "%s.1", path);
	unlink(name);
	mkdir(name, 0700); /* renaming a file onto a directory is refused */
	for (int i = 0; i < 8; i++)
		put(line, NULL);
	log_file_flush(&file);
	rmdir(name);
	cr_assert_eq(stat(path, &status), 0);
	cr_assert_geq(status.st_size, 60);
	cr_assert_eq(log_file_waiting(&file), 0, "it grows on rather than lose");
}

Test(log_file, a_line_larger_than_the_limit_has_a_file_for_itself)
{
	char line[201];

	memset(line, 'x', 200);
	line[200] = '\0';
	file.rotate_size = 100;
	file.rotate_keep = 3;
	for (int i = 0; i < 3; i++)
		put(line, NULL);
	log_file_flush(&file);
	cr_assert_eq(strlen(content_of("")), 200);
	cr_assert_eq(strlen(content_of(".2")), 200);
	cr_assert_str_eq(content_of(".3"), "absent");
}

Test(log_file, a_file_that_was_moved_is_opened_anew)
{
	char name[96];

	put("1\n", NULL);
	log_file_flush(&file);
	snprintf(name, sizeof name, "%s.old", path);
	rename(path, name);
	put("2\n", NULL);
	log_file_flush(&file);
	cr_assert_str_eq(content_of(".old"), "1\n");
	cr_assert_str_eq(content_of(""), "2\n");
	rename(path, name);
	log_file_reopen(&file);
	log_file_flush(&file);
	cr_assert_str_eq(content_of(""), "", "there at once, without a line");
}

/* So that a log that is killed now is followed by one that knows. */
Test(log_file, what_moves_away_is_remembered_before)
{
	static const char line[] = "1234567890123456789\n";
	char name[96];

	file.rotate_size = 25;
	file.rotate_keep = 1;
	seen_add(&seen, "rotated \"1\"")->finished = true;
	seen_add(&seen, "moved")->finished = true;
	seen_add(&seen, "waiting")->finished = true;
	put(line, "rotated \"1\"");
	put(line, "moved");
	log_file_flush(&file);
	cr_assert_not_null(strstr(content_of(".state"), "\"sessions\":[\"rotated \\\"1\\\"\"]"),
			   "%s", content);
	snprintf(name, sizeof name, "%s.old", path);
	rename(path, name);
	put("x\n", NULL);
	log_file_flush(&file);
	cr_assert_not_null(strstr(content_of(".state"), "\"moved\""), "%s", content);
	cr_assert_null(strstr(content, "waiting"));
}

Test(log_file, the_next_one_knows_what_was_written)
{
	static const char session[] = "{\"event\":\"session\",\"segment\":\"/s.%d\","
				      "\"incarnation\":%d}\n";
	struct seen later = {0};
	char line[128];

	file.finished_total = 3;
	file.finished_known = true;
	for (int i = 1; i <= 2; i++) {
		snprintf(line, sizeof line, "/s.%d %d", i, i);
		seen_add(&seen, line)->finished = true;
	}
	snprintf(line, sizeof line, session, 1, 1);
	put(line, "/s.1 1");
	log_file_flush(&file);
	log_state_save(&file); /* of three that were over one waits: the bus had two */
	snprintf(line, sizeof line, session, 3, 3);
	put(line, NULL); /* written after the state was */
	log_file_flush(&file);
	log_file_close(&file);
	file.seen = &later;
	file.finished_total = 0;
	cr_assert_eq(log_file_open(&file, true), 0);
	log_state_load(&file);
	cr_assert(seen_find(&later, "/s.1 1")->written);
	cr_assert_null(seen_find(&later, "/s.2 2"));
	cr_assert(seen_find(&later, "/s.3 3")->written);
	cr_assert(file.finished_known);
	cr_assert_eq(file.finished_total, 3, "two of the state, and one of the file");
	seen_free(&later);
}
