/* SPDX-License-Identifier: MIT */
/* seeds_checkpoint.c - checkpoints of real agents, at several moments of a bus' life. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "agent_life.h"
#include "live_session.h"
#include "script.h"
#include "seeds.h"

#define KEY_LIVE 0x0123456789abcdefull /* as fuzz_checkpoint.c has it */
#define KEY_OTHER 0x11ull
#define FIRST_CELL 4096u

/* Names and numbers of this bus and machine become those that the target knows. */
static void identity_general(struct stored_session *identity)
{
	char digits[17];

	memcpy(digits, identity->segment + strlen(identity->segment) - 16, 17);
	memset(identity->segment, 0, sizeof identity->segment);
	snprintf(identity->segment, sizeof identity->segment, "/shmbus.fuzz.s.%s", digits);
	identity->device = identity->key == KEY_LIVE;
	identity->inode = 0;
}

static void checkpoint_save(const char *name, const char *steps)
{
	char file[80];
	uint8_t *image;
	size_t size, used;

	snprintf(file, sizeof file, "/shmbus.%s.checkpoint", script_bus());
	image_read(file, &image, &size);
	used = (size_t)((const struct store_header *)image)->used;
	for (size_t at = FIRST_CELL; at < used;) {
		struct cell_header *header = (struct cell_header *)(image + at);

		if (header->constant_size == sizeof(struct stored_session) ||
		    header->constant_size == sizeof(struct stored_finished))
			identity_general((struct stored_session *)(header + 1));
		at += header->size;
	}
	script_save("checkpoint", name, image, used, "", 0, steps);
	free(image);
}

static void ticks(struct agent_life *life, struct live_session *live, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		live_session_record(live, 4);
		agent_life_tick(life);
	}
}

void checkpoint_seeds(void)
{
	struct live_session live, other;
	struct agent_life *life = agent_life_begin(script_bus());
	char file[80];

	checkpoint_save("empty", "A1A1");
	live_session_open(&live, script_bus(), KEY_LIVE);
	if (agent_life_attach(life, KEY_LIVE) != 0)
		seed_fail(live.segment);
	ticks(life, &live, 1);
	checkpoint_save("session", "A1A1");
	ticks(life, &live, 12);
	checkpoint_save("slices", "A1B9A2");
	live_session_open(&other, script_bus(), KEY_OTHER);
	if (agent_life_attach(life, KEY_OTHER) != 0)
		seed_fail(other.segment);
	ticks(life, &other, 2);
	live_session_close(&other);
	for (int i = 0; i < 5; i++)
		agent_life_tick(life);
	checkpoint_save("finished", "A1A1");
	agent_life_end(life);
	live_session_close(&live);
	life = agent_life_begin(script_bus());
	for (int i = 0; i < 6; i++)
		agent_life_tick(life);
	checkpoint_save("all-finished", "A2B9B9B9B9A1A1");
	agent_life_end(life);
	shm_unlink(live.segment);
	snprintf(file, sizeof file, "/shmbus.%s.checkpoint", script_bus());
	shm_unlink(file);
}
