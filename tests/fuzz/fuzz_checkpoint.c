/* SPDX-License-Identifier: MIT */
/*
 * fuzz_checkpoint.c - an agent that takes up a damaged checkpoint: what makes no sense is left out,
 * the account of the rest holds, the snapshot is one that readers take, and what this agent leaves
 * to the next one is whole.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shmbus/snapshot.h>

#include "agent_life.h"
#include "document.h"
#include "live_session.h"
#include "script.h"

#define KEY_LIVE 0x0123456789abcdefull
#define DEVICE_LIVE 1u /* in a saved checkpoint: the session whose producer lives */
#define FIRST_CELL 4096u
#define SIZE_FIRST (1u << 20)

enum step {
	STEP_LIFE, /* ticks:u8; with the top bit set the file is taken as large as it is */
	STEP_TIME, /* seconds:u8, times 100 */
	STEPS,
};

static struct live_session live;

/* ---- the file ---- */

/* The names of this process' bus, and the live session's identity, into a session's cell. */
static void identity_patch(struct stored_session *identity, bool whole)
{
	static const char bus_of_seeds[] = "/shmbus.fuzz.s.";
	const size_t prefix = sizeof bus_of_seeds - 1;
	char digits[17];
	struct stat status;
	int fd;

	if (memcmp(identity->segment, bus_of_seeds, prefix) == 0) {
		memcpy(digits, identity->segment + prefix, 16);
		digits[16] = '\0';
		memset(identity->segment, 0, sizeof identity->segment);
		snprintf(identity->segment, sizeof identity->segment, "/shmbus.%s.s.%s",
			 script_bus(), digits);
	}
	fd = whole && identity->device == DEVICE_LIVE ? shm_open(live.segment, O_RDONLY, 0) : -1;
	if (fd < 0)
		return;
	promise(fstat(fd, &status) == 0 && pread(fd, &identity->header, sizeof identity->header,
						 0) == (ssize_t)sizeof identity->header);
	identity->device = status.st_dev;
	identity->inode = status.st_ino;
	close(fd);
}

static void file_patch(void)
{
	static uint8_t bytes[SCRIPT_FILE_MAX];
	ssize_t size = pread(script_descriptor(), bytes, sizeof bytes, 0);
	struct cell_header header;

	for (ssize_t at = FIRST_CELL; at + (ssize_t)sizeof header <= size;) {
		struct stored_session identity;

		memcpy(&header, bytes + at, sizeof header);
		if ((header.constant_size == sizeof identity ||
		     header.constant_size == sizeof(struct stored_finished)) &&
		    at + (ssize_t)(sizeof header + sizeof identity) <= size) {
			memcpy(&identity, bytes + at + sizeof header, sizeof identity);
			identity_patch(&identity, header.constant_size == sizeof identity);
			promise(pwrite(script_descriptor(), &identity, sizeof identity,
				       at + (off_t)sizeof header) == sizeof identity);
		}
		if (header.size < sizeof header || header.size > (uint64_t)(size - at))
			break;
		at += (ssize_t)header.size;
	}
}

static void path_of(char path[96], const char *ending)
{
	snprintf(path, 96, "/dev/shm/shmbus.%s.checkpoint%s", script_bus(), ending);
}

/* One that was moved aside comes back: the script writes to it. */
static void file_back(void)
{
	char path[96], aside[96];

	path_of(path, "");
	path_of(aside, ".aside");
	rename(aside, path);
}

/* ---- promises ---- */

static void series_check(const struct series *series)
{
	promise(histogram_count(&series->histogram) == series->lifetime.count);
	promise(series->violations <= series->lifetime.count);
}

static void account_check(struct agent *agent)
{
	struct cds_lfht_iter iterator;
	struct session *session;

	rcu_read_lock();
	registry_for_each(&agent->registry, iterator, session)
	{
		for (uint32_t i = 0; i < session->live.metric_count; i++)
			if (session->metrics[i]->timer)
				series_check(&session->metrics[i]->live);
	}
	rcu_read_unlock();
	for (uint32_t i = 0; i < agent->totals.count; i++)
		if (agent->totals.all[i]->entry.kind == SHMBUS_TIMER)
			series_check(&agent->totals.all[i]->series);
}

static void document_check(void)
{
	struct shmbus_snapshot_reader *reader;
	struct shmbus_snapshot snapshot;
	struct document document = {0};

	promise(shmbus_snapshot_open(script_bus(), &reader) == 0);
	promise(shmbus_snapshot_read(reader, &snapshot) == 0);
	promise(document_decode(&document, snapshot.data, snapshot.size) == 0);
	document_free(&document);
	shmbus_snapshot_close(reader);
}

/* ---- lives ---- */

/* Returns whether the whole checkpoint was taken up. */
static bool life_run(uint32_t ticks)
{
	struct agent_life *life = agent_life_begin(script_bus());
	bool whole = !agent_life_damage(life);

	for (uint32_t i = 0; i < ticks; i++) {
		live_session_record(&live, 5);
		agent_life_tick(life);
		account_check(agent_life_agent(life));
	}
	if (ticks > 0)
		document_check();
	agent_life_end(life);
	return whole;
}

static void file_enlarge(void)
{
	struct stat status;

	promise(fstat(script_descriptor(), &status) == 0);
	if (status.st_size < SIZE_FIRST)
		promise(ftruncate(script_descriptor(), SIZE_FIRST) == 0);
}

static void step_run(enum step step)
{
	uint64_t argument = script_number(1);

	if (step == STEP_TIME) {
		agent_life_time(100 * argument);
		return;
	}
	if (argument < 0x80)
		file_enlarge();
	file_patch();
	life_run(argument & 3);
	promise(life_run(1)); /* what it left is whole */
	file_back();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[80];
	int step;

	script_file("checkpoint", name);
	script_begin(data, size);
	live_session_open(&live, script_bus(), KEY_LIVE);
	while ((step = script_step(STEPS)) >= 0)
		step_run((enum step)step);
	live_session_close(&live);
	shm_unlink(live.segment);
	return 0;
}
