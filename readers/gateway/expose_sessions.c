/* SPDX-License-Identifier: MIT */
/* expose_sessions.c - what is said of each session, where sessions are shown. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "expose_walk.h"

/* Labels of the program's that fit; the rest of a label set has its own. */
#define PROGRAM_LABELS_MAX 24u

static void session_info(struct walk *walk, const struct holder *holder)
{
	const msgpack_object *map = member(holder->map, "labels");
	uint32_t count = map != NULL && map->type == MSGPACK_OBJECT_MAP ? map->via.map.size : 0;
	char names[PROGRAM_LABELS_MAX][48], values[PROGRAM_LABELS_MAX][128], segment[128], part[40];
	struct labels labels = {.count = 0};
	uint32_t used = 0;

	labels_holder(&labels, holder);
	labels_add(&labels, "segment",
		   member_text(holder->map, "segment", segment, sizeof segment));
	for (uint32_t i = 0; i < count && used < PROGRAM_LABELS_MAX; i++) {
		const msgpack_object_kv *pair = &map->via.map.ptr[i];
		char key[40];
		bool known = pair->key.type == MSGPACK_OBJECT_STR &&
			     pair->val.type == MSGPACK_OBJECT_STR;

		if (!known)
			continue;
		text_clean(pair->key.via.str.ptr, pair->key.via.str.size, key, sizeof key);
		snprintf(names[used], sizeof names[used], "label_%s",
			 name_part(key, part, sizeof part));
		for (uint32_t j = 0; j < used; j++)
			known &= strcmp(names[j], names[used]) != 0;
		if (!known)
			continue;
		text_clean(pair->val.via.str.ptr, pair->val.via.str.size, values[used],
			   sizeof values[used]);
		labels_add(&labels, names[used], values[used]);
		used++;
	}
	walk_number(walk, &labels, 1);
}

static void session_state(struct walk *walk, const struct holder *holder)
{
	static const char *const states[] = {"running", "stale", "ended", "lost"};
	char state[16];

	member_text(holder->map, "state", state, sizeof state);
	for (int i = 0; i < 4; i++) {
		struct labels labels = {.count = 0};

		labels_holder(&labels, holder);
		labels_add(&labels, walk->family->name, states[i]);
		walk_number(walk, &labels, strcmp(state, states[i]) == 0);
	}
}

/* A number of a session, or of a map of it. */
struct session_number {
	enum own_family family;
	const char *map; /* NULL: of the session */
	const char *key;
	double factor; /* 1: whole numbers stay whole */
};

static void session_numbers(struct walk *walk, const struct session_number *number)
{
	walk_own_family(walk, number->family);
	for (uint32_t i = 0; i < walk->holder_count; i++) {
		const msgpack_object *map = walk->holders[i].map, *value;
		struct labels labels = {.count = 0};

		map = number->map != NULL ? member(map, number->map) : map;
		value = member(map, number->key);
		if (value == NULL)
			continue;
		labels_holder(&labels, &walk->holders[i]);
		if (number->factor != 1 || value->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
			walk_real(walk, &labels, walk_scaled(map, number->key, number->factor));
		else
			walk_number(walk, &labels, value->via.u64);
	}
}

static void session_drops(struct walk *walk, const struct holder *holder)
{
	static const char *const causes[] = {"full", "head"};
	const msgpack_object *writers = NULL;
	size_t count = member_array(holder->map, "writers", &writers);

	for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
		struct labels labels = {.count = 0};
		uint64_t sum = 0;

		for (size_t j = 0; j < count; j++)
			sum += member_u64(member(&writers[j], "dropped"), causes[i], 0);
		labels_holder(&labels, holder);
		labels_add(&labels, "cause", causes[i]);
		walk_number(walk, &labels, sum);
	}
}

/* A number of each writer. Its place is its number. */
static void writer_numbers(struct walk *walk, enum own_family family, const char *key)
{
	walk_own_family(walk, family);
	for (uint32_t i = 0; i < walk->holder_count; i++) {
		const msgpack_object *writers = NULL;
		size_t count = member_array(walk->holders[i].map, "writers", &writers);

		for (size_t j = 0; j < count; j++) {
			struct labels labels = {.count = 0};
			char number[24], name[40];
			const msgpack_object *value = member(&writers[j], key);

			if (value == NULL || value->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
				continue;
			snprintf(number, sizeof number, "%zu", j);
			labels_holder(&labels, &walk->holders[i]);
			labels_add(&labels, "writer", number);
			labels_add(&labels, "name",
				   member_text(&writers[j], "name", name, sizeof name));
			walk_number(walk, &labels, value->via.u64);
		}
	}
}

static void each_session(struct walk *walk, enum own_family family,
			 void (*points)(struct walk *walk, const struct holder *holder))
{
	walk_own_family(walk, family);
	for (uint32_t i = 0; i < walk->holder_count; i++)
		points(walk, &walk->holders[i]);
}

void walk_sessions(struct walk *walk)
{
	static const struct session_number numbers[] = {
		{OWN_SESSION_START, NULL, "start_time_unix_ns", 1e-9},
		{OWN_SESSION_AGE, NULL, "age_ns", 1e-9},
		{OWN_SESSION_CPU, NULL, "cpu_ratio", 1},
		{OWN_SESSION_SHM, "memory", "shm_bytes", 1},
		{OWN_SESSION_AGENT, "memory", "agent_bytes", 1},
		{OWN_SESSION_RSS, "memory", "process_rss_bytes", 1},
		{OWN_SESSION_SAMPLES, NULL, "aggregated_total", 1},
		{OWN_SESSION_OVERFLOW, NULL, "overflow_total", 1},
	};

	if (!walk->options->sessions)
		return;
	each_session(walk, OWN_SESSION, session_info);
	each_session(walk, OWN_SESSION_STATE, session_state);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		session_numbers(walk, &numbers[i]);
	each_session(walk, OWN_SESSION_DROPPED, session_drops);
	writer_numbers(walk, OWN_WRITER_CAPACITY, "capacity");
	writer_numbers(walk, OWN_WRITER_USED, "used");
	writer_numbers(walk, OWN_WRITER_HIGH_WATER, "high_water");
}
