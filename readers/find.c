/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "find.h"

enum fit { FIT_NOT, FIT_PREFIX, FIT_EXACT };

/* The segment goes with and without the slash that shm_open(3) takes. */
static enum fit session_fit(const msgpack_object *session, const char *wanted)
{
	char id[80], segment[96];

	member_text(session, "id", id, sizeof id);
	member_text(session, "segment", segment, sizeof segment);
	if (strcmp(id, wanted) == 0 || strcmp(segment, wanted) == 0 ||
	    (segment[0] == '/' && strcmp(segment + 1, wanted) == 0))
		return FIT_EXACT;
	return wanted[0] != '\0' && strncmp(id, wanted, strlen(wanted)) == 0 ? FIT_PREFIX : FIT_NOT;
}

enum found session_find(const struct document *document, const char *wanted,
			const msgpack_object **out)
{
	const msgpack_object *sessions = NULL, *exact = NULL, *prefix = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	bool several = false;

	for (size_t i = 0; i < count; i++) {
		enum fit fit = session_fit(&sessions[i], wanted);
		char id[80], before[80];

		if (fit == FIT_EXACT)
			exact = &sessions[i];
		if (fit != FIT_PREFIX)
			continue;
		several |= prefix != NULL &&
			   strcmp(member_text(&sessions[i], "id", id, sizeof id),
				  member_text(prefix, "id", before, sizeof before)) != 0;
		prefix = &sessions[i];
	}
	*out = exact != NULL ? exact : prefix;
	if (*out == NULL)
		return FOUND_NONE;
	return exact == NULL && several ? FOUND_SEVERAL : FOUND_ONE;
}

/* Which ids begin so: the first few. */
static void say_several(const struct document *document, const char *wanted)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	size_t named = 0, more = 0;
	char id[80];

	fprintf(stderr, "shmbus: several sessions begin with \"%s\":", wanted);
	for (size_t i = 0; i < count; i++) {
		if (session_fit(&sessions[i], wanted) != FIT_PREFIX)
			continue;
		if (named == 8)
			more++;
		else
			fprintf(stderr, "%s %s", named++ != 0 ? "," : "",
				member_text(&sessions[i], "id", id, sizeof id));
	}
	if (more != 0)
		fprintf(stderr, " and %zu more", more);
	fputs(": say more of the id\n", stderr);
}

void session_not_found(enum found why, const struct document *document, const char *wanted)
{
	if (why == FOUND_SEVERAL)
		say_several(document, wanted);
	else
		fprintf(stderr, "shmbus: no session \"%s\": 'shmbus ls' lists them\n", wanted);
}

const msgpack_object *session_or_say(const struct document *document, const char *wanted)
{
	const msgpack_object *session;
	enum found found = session_find(document, wanted, &session);

	if (found == FOUND_ONE)
		return session;
	session_not_found(found, document, wanted);
	return NULL;
}

const msgpack_object *metric_find(const msgpack_object *holder, const char *name)
{
	const msgpack_object *metrics = NULL;
	size_t count = member_array(holder, "metrics", &metrics);
	char text[80];

	for (size_t i = 0; i < count; i++)
		if (strcmp(member_text(&metrics[i], "name", text, sizeof text), name) == 0)
			return &metrics[i];
	return NULL;
}

bool metric_is_timer(const msgpack_object *metric)
{
	char kind[16];

	return strcmp(member_text(metric, "kind", kind, sizeof kind), "timer") == 0;
}
