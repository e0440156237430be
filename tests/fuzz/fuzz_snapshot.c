/* SPDX-License-Identifier: MIT */
/*
 * fuzz_snapshot.c - a reader of a hostile snapshot: a copy, whole or not at all, from a file that
 * says anything and changes between the looks at it.
 */
#include <stdlib.h>
#include <string.h>

#include <shmbus/snapshot.h>

#include "guard.h"
#include "script.h"

enum step {
	STEP_READ,
	STEP_OPEN,
	STEPS,
};

struct look {
	struct shmbus_snapshot_reader *reader;
	struct shmbus_snapshot snapshot;
	int error;
};

static void read_body(void *data)
{
	struct look *look = data;

	look->error = shmbus_snapshot_read(look->reader, &look->snapshot);
}

/* Every byte that is said to be there can be read. */
static void snapshot_check(const struct look *look)
{
	uint8_t *copy;

	promise(look->snapshot.size <= SCRIPT_FILE_MAX);
	copy = malloc(look->snapshot.size + 1);
	promise(copy != NULL);
	memcpy(copy, look->snapshot.data, look->snapshot.size);
	free(copy);
}

static void step_run(enum step step, struct look *look)
{
	if (step == STEP_OPEN) {
		shmbus_snapshot_close(look->reader);
		look->reader = NULL;
		promise(shmbus_snapshot_open(script_bus(), &look->reader) == 0);
		return;
	}
	look->error = 0;
	look->snapshot = (struct shmbus_snapshot){0};
	/* Wherever it is cut, in the middle of a look too. */
	promise(guard_run(read_body, look));
	if (look->error == 0)
		snapshot_check(look);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct look look = {0};
	char name[80];
	int step;

	script_guard_init();
	script_file("snapshot", name);
	script_begin(data, size);
	promise(shmbus_snapshot_open(script_bus(), &look.reader) == 0);
	while ((step = script_step(STEPS)) >= 0)
		step_run((enum step)step, &look);
	shmbus_snapshot_close(look.reader);
	return 0;
}
