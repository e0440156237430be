/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expose_names.h"

/* ---- texts and their numbers ---- */

/* FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint32_t hash_of(const char *text)
{
	uint32_t hash = 2166136261u;

	for (; *text != '\0'; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619u;
	return hash;
}

void texts_free(struct texts *texts)
{
	for (uint32_t i = 0; i < texts->count; i++)
		free(texts->all[i]);
	free(texts->all);
	free(texts->slots);
	*texts = (struct texts){0};
}

/* Its slot, or the free one where it belongs. */
static uint32_t *slot_of(const struct texts *texts, const char *text)
{
	uint32_t mask = texts->slot_count - 1, at = hash_of(text) & mask;

	while (texts->slots[at] != 0 && strcmp(texts->all[texts->slots[at] - 1], text) != 0)
		at = (at + 1) & mask;
	return &texts->slots[at];
}

/* Room for one more, with at least half of the slots free. */
static bool texts_grow(struct texts *texts)
{
	uint32_t capacity = texts->capacity == 0 ? 64 : texts->capacity * 2;
	char **all;
	uint32_t *slots;

	if (texts->count < texts->capacity)
		return true;
	all = realloc(texts->all, capacity * sizeof *all);
	if (all != NULL)
		texts->all = all;
	slots = calloc((size_t)capacity * 2, sizeof *slots);
	if (all == NULL || slots == NULL) {
		free(slots);
		return false;
	}
	free(texts->slots);
	texts->slots = slots;
	texts->slot_count = capacity * 2;
	texts->capacity = capacity;
	for (uint32_t i = 0; i < texts->count; i++)
		*slot_of(texts, texts->all[i]) = i + 1;
	return true;
}

uint32_t texts_add(struct texts *texts, const char *text, bool *added)
{
	uint32_t *slot;

	*added = false;
	if (!texts_grow(texts))
		return TEXTS_NONE;
	slot = slot_of(texts, text);
	if (*slot != 0)
		return *slot - 1;
	texts->all[texts->count] = strdup(text);
	if (texts->all[texts->count] == NULL)
		return TEXTS_NONE;
	*added = true;
	*slot = ++texts->count;
	return texts->count - 1;
}

/* ---- names ---- */

/* Behind a name they mean something; so no name of ours ends so. */
static const char *const reserved[] = {"_total", "_count", "_sum", "_bucket", "_created", "_info"};

/* Takes a word off the end, underscore included, where it is there and not all. */
static bool chop(char *name, const char *word)
{
	size_t length = strlen(name), size = strlen(word);

	if (size == 0 || length <= size + strlen(NAMES_PREFIX) ||
	    strcmp(name + length - size, word) != 0 || name[length - size - 1] != '_')
		return false;
	name[length - size - 1] = '\0';
	return true;
}

static void chop_reserved(char *name)
{
	for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
		if (chop(name, reserved[i] + 1))
			i = (size_t)-1;
}

/* "_total", or ends so. */
static bool ends_reserved(const char *name)
{
	const char *last = strrchr(name, '_');

	for (size_t i = 0; last != NULL && i < sizeof reserved / sizeof reserved[0]; i++)
		if (strcmp(last, reserved[i]) == 0)
			return true;
	return false;
}

/* A unit that nobody knows may be any word. */
static void family_unit(const char *ucum, struct unit *out)
{
	char word[UNIT_NAME_SIZE + 1];

	unit_of(ucum, out);
	snprintf(word, sizeof word, "_%s", out->name);
	if (ends_reserved(word))
		out->name[0] = '\0';
}

/* The name that a family has when no other one has it. */
static void plain_name(const char *text, const char *ucum, const struct named *named,
		       char out[FAMILY_NAME_SIZE])
{
	char part[96], unit[UNIT_NAME_SIZE];

	name_part(text, part, sizeof part);
	snprintf(out, FAMILY_NAME_SIZE, NAMES_PREFIX "%s", part[0] != '\0' ? part : "metric");
	chop_reserved(out);
	/* "decode_ns" in ns, and "decode_seconds" in whatever, become decode_seconds. */
	while (chop(out, name_part(ucum, unit, sizeof unit)) || chop(out, named->unit.name))
		;
	chop_reserved(out);
	if (ends_reserved(out))
		snprintf(out, FAMILY_NAME_SIZE, NAMES_PREFIX "metric");
	/* "bytes" in By is not said twice. */
	if (named->unit.name[0] != '\0' &&
	    strcmp(out + strlen(NAMES_PREFIX), named->unit.name) != 0)
		snprintf(out + strlen(out), FAMILY_NAME_SIZE - strlen(out), "_%s",
			 named->unit.name);
}

/* A name that no one has; the hash stands before the unit, which has to be last. */
static bool free_name(struct names *names, const char *key, const struct named *named,
		      char name[FAMILY_NAME_SIZE])
{
	char wanted[FAMILY_NAME_SIZE], tail[UNIT_NAME_SIZE + 1] = "";
	uint32_t hash = hash_of(key);
	bool added;

	if (texts_add(&names->families, name, &added) == TEXTS_NONE)
		return false;
	if (added)
		return true;
	snprintf(wanted, sizeof wanted, "%s", name);
	if (named->unit.name[0] != '\0') {
		snprintf(tail, sizeof tail, "_%s", named->unit.name);
		wanted[strlen(wanted) - strlen(tail)] = '\0';
	}
	do {
		snprintf(name, FAMILY_NAME_SIZE, "%.120s_%08x%s", wanted, hash++, tail);
		if (texts_add(&names->families, name, &added) == TEXTS_NONE)
			return false;
	} while (!added);
	return true;
}

void names_free(struct names *names)
{
	texts_free(&names->keys);
	texts_free(&names->families);
	free(names->all);
	*names = (struct names){0};
}

bool names_reserve(struct names *names, const char *name)
{
	bool added;

	return texts_add(&names->families, name, &added) != TEXTS_NONE;
}

enum metric_kind metric_kind_of(const msgpack_object *metric)
{
	static const char *const kinds[] = {"timer", "counter",  "updown",
					    "gauge", "stateset", "info"};
	char text[16];

	member_text(metric, "kind", text, sizeof text);
	for (int i = 0; i < METRIC_DERIVED; i++)
		if (strcmp(text, kinds[i]) == 0)
			return (enum metric_kind)i;
	return METRIC_UNKNOWN;
}

static bool names_grow(struct names *names)
{
	uint32_t capacity = names->capacity == 0 ? 64 : names->capacity * 2;
	struct named *all;

	if (names->keys.count < names->capacity)
		return true;
	all = realloc(names->all, capacity * sizeof *all);
	if (all == NULL)
		return false;
	names->all = all;
	names->capacity = capacity;
	return true;
}

uint32_t names_of(struct names *names, const msgpack_object *metric, enum metric_kind kind)
{
	char text[80], ucum[32], key[160];
	struct named *named;
	uint32_t number;
	bool added;

	if (!names_grow(names))
		return TEXTS_NONE;
	member_text(metric, "name", text, sizeof text);
	member_text(metric, "unit", ucum, sizeof ucum);
	snprintf(key, sizeof key, "%s\n%d\n%s", text, (int)kind, ucum);
	number = texts_add(&names->keys, key, &added);
	if (number == TEXTS_NONE || !added)
		return number;
	named = &names->all[number];
	*named = (struct named){.kind = kind, .first = metric, .holder = UINT32_MAX};
	family_unit(kind != METRIC_STATESET && kind != METRIC_INFO ? ucum : "", &named->unit);
	if (kind == METRIC_STATESET && names->merged)
		snprintf(named->unit.name, sizeof named->unit.name, "sessions");
	plain_name(text, ucum, named, named->name);
	return free_name(names, key, named, named->name) ? number : TEXTS_NONE;
}
