/* SPDX-License-Identifier: MIT */
/*
 * fuzz_document.c - any bytes as a document: decoded or refused; and what the commands print of
 * it is text that a terminal can take, and JSON that a parser takes.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <jansson.h>

#include <shmbus/layout.h>

#include "json.h"
#include "measure.h"
#include "options.h"
#include "script.h"

#define SIZE_MAX_TAKEN (32u << 10)
#define LOG_SIZE (64u << 10)

/* A snapshot of one extent, as far as the document. */
struct image {
	struct shmbus_snapshot_header header;
	uint8_t unused[64]; /* position 0 means none */
	struct shmbus_snapshot_index index;
	struct shmbus_snapshot_extent extent;
};

static void image_write(const uint8_t *data, size_t size)
{
	const uint64_t log_offset = sizeof(struct shmbus_snapshot_header);
	const uint64_t end = sizeof(struct image) - log_offset;
	struct image image = {
		.header = {.magic = SHMBUS_SNAPSHOT_MAGIC,
			   .version = SHMBUS_SNAPSHOT_VERSION,
			   .log_offset = (uint32_t)log_offset,
			   .log_size = LOG_SIZE,
			   .index = sizeof image.unused},
		.index = {.seq = 1, .document_size = size, .extent_count = 1},
		.extent = {.position = end, .size = size},
	};
	int fd = script_descriptor();

	promise(ftruncate(fd, (off_t)(log_offset + LOG_SIZE)) == 0);
	promise(pwrite(fd, &image, sizeof image, 0) == (ssize_t)sizeof image);
	promise(pwrite(fd, data, size, sizeof image) == (ssize_t)size);
}

/* ---- what is printed ---- */

/* No control but the end of a line, no C1, no DEL: nothing that a terminal would obey. */
static void text_check(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		promise((c >= 0x20 && c != 0x7f) || c == '\n');
		promise(c != 0xc2 || (i + 1 < size && (unsigned char)text[i + 1] >= 0xa0));
	}
}

static void json_check(const char *text, size_t size)
{
	json_error_t error;
	json_t *parsed;

	/* Jansson refuses a NUL in a key, and integers beyond 2^63, which JSON allows. */
	if (strstr(text, "\\u0000") != NULL)
		return;
	parsed = json_loadb(text, size, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
	if (parsed == NULL)
		fprintf(stderr, "%s at %d\n", error.text, error.position);
	promise(parsed != NULL);
	json_decref(parsed);
}

struct signals {
	sigset_t mask;
	struct sigaction actions[4];
};

static const int signal_numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/* top takes signals for itself. */
static void signals_save(struct signals *signals)
{
	sigprocmask(SIG_SETMASK, NULL, &signals->mask);
	for (size_t i = 0; i < 4; i++)
		sigaction(signal_numbers[i], NULL, &signals->actions[i]);
}

static void signals_restore(const struct signals *signals)
{
	for (size_t i = 0; i < 4; i++)
		sigaction(signal_numbers[i], &signals->actions[i], NULL);
	sigprocmask(SIG_SETMASK, &signals->mask, NULL);
}

/* Runs a sub-command, and looks at what it printed. */
static void run_checked(const struct command *command, const char *option, const char *operand,
			const char *second)
{
	static FILE *nowhere;
	FILE *output = stdout, *errors = stderr;
	const char *arguments[8] = {command->name, "--bus", script_bus()};
	char *text = NULL;
	struct signals signals;
	size_t size = 0;
	int count = 3, status;

	if (option != NULL)
		arguments[count++] = option;
	if (operand != NULL) {
		arguments[count++] = "--";
		arguments[count++] = operand;
	}
	if (second != NULL)
		arguments[count++] = second;
	if (nowhere == NULL)
		nowhere = fopen("/dev/null", "w");
	signals_save(&signals);
	stdout = open_memstream(&text, &size);
	stderr = nowhere;
	promise(stdout != NULL && stderr != NULL);
	status = command->run(command, count, (char **)(uintptr_t)arguments);
	fclose(stdout);
	stdout = output;
	stderr = errors;
	signals_restore(&signals);
	text_check(text, size);
	if (status == 0 && option != NULL && command != &command_top && command != &command_hist)
		json_check(text, size);
	free(text);
}

static void measured_check(const struct measured *measured, void *data)
{
	(void)data;
	promise(measured->value == measured->value && measured->dimension != DIMENSION_UNIT);
	promise(strlen(measured->label) < sizeof measured->label);
}

/* What shmbus check sees: it would not look at a document whose agent is gone. */
static void rules_check(const struct document *document)
{
	static const char *const texts[] = {
		"*.max > 1",     "*.value > 1",          "*.1m.p99 > 1ms",     "*.window.last < 1",
		"@memory > 1B",  "@latency.mean > 1ms",  "@timing.mean > 1ms", "@targets > 0",
		"@sessions < 1", "totals:*.p99.9 > 5MB", "agent:@lag > 1s"};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct rule_error error = {0};
		struct rule rule = {0};
		bool mismatch;

		promise(rule_parse(texts[i], &rule, &error));
		measure(&rule, document, measured_check, NULL, &mismatch);
	}
}

static void commands_check(const msgpack_object *root)
{
	const msgpack_object *sessions = NULL;
	const msgpack_object *metrics = NULL;
	char id[80] = "", name[80] = "";

	if (member_array(root, "sessions", &sessions) > 0) {
		member_text(&sessions[0], "id", id, sizeof id);
		if (member_array(&sessions[0], "metrics", &metrics) > 0)
			member_text(&metrics[0], "name", name, sizeof name);
	}
	run_checked(&command_ls, NULL, NULL, NULL);
	run_checked(&command_ls, "--json", NULL, NULL);
	run_checked(&command_show, NULL, id, NULL);
	run_checked(&command_show, "--json", id, NULL);
	run_checked(&command_hist, NULL, id, name);
	run_checked(&command_hist, "--log", id, name);
	run_checked(&command_hist, "--hgrm", "totals", name);
	run_checked(&command_top, "--once", NULL, NULL);
	run_checked(&command_top, "-jn1", NULL, NULL);
	run_checked(&command_snapshot, "--json", NULL, NULL);
	run_checked(&command_snapshot, "--compact", NULL, NULL);
}

/* No document of this size needs more than so much: the decoder's library would take gigabytes for
 * a length in five bytes, if they were not refused before. ASan's allocator maps terabytes, so with
 * it the limit is its own. */
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN
#endif
#endif

#ifdef WITH_ASAN
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "max_allocation_size_mb=64:allocator_may_return_null=1";
}

static void memory_limit(void)
{
}
#else
static void memory_limit(void)
{
	struct rlimit limit = {1u << 29, 1u << 29};

	promise(setrlimit(RLIMIT_AS, &limit) == 0);
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct document document = {0};
	char name[80];
	int error;

	script_file("snapshot", name);
	if (size > SIZE_MAX_TAKEN)
		return 0;
	memory_limit();
	error = document_decode(&document, data, size);
	promise(error != -ENOMEM);
	promise(error == 0 || !document_valid(data, size));
	if (error != 0)
		return 0;
	image_write(data, size);
	commands_check(&document.root);
	rules_check(&document);
	document_free(&document);
	return 0;
}
