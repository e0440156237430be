/* SPDX-License-Identifier: MIT */
/*
 * driver.c - a fuzz target without libFuzzer, for any compiler: replays the saved inputs, then
 * runs seeded mutations of them, a bounded number.
 *
 *   fuzz_<target> CORPUS_DIRECTORY RUNS
 *
 * The input that runs now is always in $SHMBUS_BUILD/tests/fuzz_<target>.input, so a crash leaves
 * it there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "script.h"
#include "tap.h"

#define INPUT_SIZE_MAX (32u << 10)
#define INPUTS_MAX 4096

struct input {
	uint8_t *bytes;
	size_t size;
};

static struct input inputs[INPUTS_MAX];
static uint32_t input_count;
static int current_fd;
static uint8_t *current; /* the file's mapping */
static uint64_t random_state = 88172645463325252u;

/* xorshift64 (Marsaglia, 2003): the same numbers in every run. */
static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static size_t random_below(size_t n)
{
	return n == 0 ? 0 : random_next() % n;
}

/* ---- inputs ---- */

static void input_load(const char *directory, const char *name)
{
	struct input *input = &inputs[input_count];
	char path[512];
	FILE *from;

	if (name[0] == '.' || input_count == INPUTS_MAX)
		return;
	snprintf(path, sizeof path, "%s/%s", directory, name);
	from = fopen(path, "rb");
	input->bytes = malloc(INPUT_SIZE_MAX);
	if (from == NULL || input->bytes == NULL)
		tap_bail("cannot read %s: %s", path, strerror(errno));
	input->size = fread(input->bytes, 1, INPUT_SIZE_MAX, from);
	fclose(from);
	input_count++;
}

static int by_name(const struct dirent **left, const struct dirent **right)
{
	return strcmp((*left)->d_name, (*right)->d_name);
}

static void inputs_load(const char *directory)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, NULL, by_name);

	if (count < 0)
		tap_bail("cannot read %s: %s", directory, strerror(errno));
	for (int i = 0; i < count; i++) {
		input_load(directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

static void current_make(const char *program)
{
	const char *build = getenv("SHMBUS_BUILD"), *name = strrchr(program, '/');
	char path[512];

	snprintf(path, sizeof path, "%s%s%s.input", build != NULL ? build : ".",
		 build != NULL ? "/tests/" : "/", name != NULL ? name + 1 : program);
	current_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (current_fd < 0 || ftruncate(current_fd, INPUT_SIZE_MAX) != 0)
		tap_bail("cannot write %s: %s", path, strerror(errno));
	current = mmap(NULL, INPUT_SIZE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, current_fd, 0);
	if (current == MAP_FAILED)
		tap_bail("cannot map %s: %s", path, strerror(errno));
	tap_diag("a crash leaves its input in %s", path);
}

/* The target gets a copy of exactly this size, so that ASan sees one byte too far. */
static void run(const uint8_t *bytes, size_t size)
{
	uint8_t *copy = malloc(size == 0 ? 1 : size);

	if (copy == NULL || ftruncate(current_fd, (off_t)size) != 0)
		tap_bail("no memory for an input");
	memcpy(current, bytes, size);
	memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

/* ---- mutations ---- */

static void number_put(uint8_t *bytes, size_t size)
{
	static const uint64_t numbers[] = {0,          1,          0x7f,        0x80,
					   0xff,       0xffff,     0x10000,     0x7fffffff,
					   0x80000000, 0xffffffff, 0x100000000, INT64_MAX,
					   1ull << 63, UINT64_MAX, 4095,        4096};
	uint64_t number = numbers[random_below(sizeof numbers / sizeof numbers[0])];
	size_t width = (size_t)1 << random_below(4);

	if (size >= width)
		memcpy(bytes + random_below(size - width + 1), &number, width);
}

/* Takes a piece out, or puts one of any input in. */
static size_t piece_move(uint8_t *bytes, size_t size)
{
	const struct input *other = &inputs[random_below(input_count)];
	size_t at = random_below(size + 1), length;

	if (random_below(2) == 0) {
		length = random_below(size - at + 1);
		memmove(bytes + at, bytes + at + length, size - at - length);
		return size - length;
	}
	length = random_below(other->size + 1);
	if (length > INPUT_SIZE_MAX - size)
		length = INPUT_SIZE_MAX - size;
	memmove(bytes + at + length, bytes + at, size - at);
	memcpy(bytes + at, other->bytes + random_below(other->size - length + 1), length);
	return size + length;
}

static size_t mutate(uint8_t *bytes, size_t size)
{
	for (size_t i = 1 + random_below(6); i > 0; i--) {
		switch (random_below(8)) {
		case 0:
			size = piece_move(bytes, size);
			break;
		case 1:
		case 2:
			number_put(bytes, size);
			break;
		case 3:
		case 4:
			if (size > 0)
				bytes[random_below(size)] = (uint8_t)random_next();
			break;
		default:
			if (size > 0)
				bytes[random_below(size)] ^= (uint8_t)(1u << random_below(8));
		}
	}
	return size;
}

int main(int argc, char **argv)
{
	static uint8_t bytes[INPUT_SIZE_MAX];
	long runs = argc == 3 ? strtol(argv[2], NULL, 10) : 0;

	if (argc != 3 || runs < 1)
		tap_bail("usage: %s CORPUS_DIRECTORY RUNS", argv[0]);
	current_make(argv[0]);
	inputs_load(argv[1]);
	if (!tap_ok(input_count > 0, "there are saved inputs in %s", argv[1]))
		return tap_done();
	for (uint32_t i = 0; i < input_count; i++)
		run(inputs[i].bytes, inputs[i].size);
	tap_ok(true, "%u saved inputs hold", input_count);
	for (long i = 0; i < runs; i++) {
		const struct input *input = &inputs[random_below(input_count)];

		memcpy(bytes, input->bytes, input->size);
		run(bytes, mutate(bytes, input->size));
	}
	tap_ok(true, "%ld mutations of them hold", runs);
	for (uint32_t i = 0; i < input_count; i++)
		free(inputs[i].bytes);
	return tap_done();
}
