/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "verdict.h"

bool verdict_now(const struct verdicts *verdicts, const struct verdict *verdict)
{
	return verdict->look == verdicts->look;
}

/* The verdict on this value at the look before, from where the last one was found: values mostly
 * come in the same order. Two of one name, as of two sessions with one id, are told apart by it. */
static struct verdict *find(struct verdicts *verdicts, const char *label)
{
	for (size_t i = 0; i < verdicts->count; i++) {
		size_t at = (verdicts->cursor + i) % verdicts->count;
		struct verdict *verdict = &verdicts->list[at];

		if (verdict->rule == verdicts->rule && verdict->look != verdicts->look &&
		    strcmp(verdict->measured.label, label) == 0) {
			verdicts->cursor = at + 1;
			return verdict;
		}
	}
	return NULL;
}

static struct verdict *add(struct verdicts *verdicts)
{
	if (verdicts->count == verdicts->capacity) {
		size_t capacity = verdicts->capacity * 2 + 64;
		struct verdict *list = realloc(verdicts->list, capacity * sizeof *list);

		if (list == NULL) {
			verdicts->failed = true;
			return NULL;
		}
		verdicts->list = list;
		verdicts->capacity = capacity;
	}
	verdicts->list[verdicts->count] = (struct verdict){.rule = verdicts->rule};
	return &verdicts->list[verdicts->count++];
}

static void take(const struct measured *measured, void *data)
{
	struct verdicts *verdicts = data;
	const struct rule *rule = verdicts->rule;
	struct verdict *verdict = find(verdicts, measured->label);
	bool breached = rule_breached(rule, measured->value, measured->limit);

	if (verdict == NULL)
		verdict = add(verdicts);
	if (verdict == NULL)
		return;
	verdict->measured = *measured;
	verdict->look = verdicts->look;
	if (!breached)
		verdict->since_ns = 0;
	else if (verdict->since_ns == 0)
		verdict->since_ns = verdicts->now_ns;
	verdict->fires = breached && verdicts->now_ns - verdict->since_ns >= rule->for_ns;
}

/* What is there no more begins anew when it comes again. */
static void drop_unseen(struct verdicts *verdicts)
{
	size_t kept = 0;

	for (size_t i = 0; i < verdicts->count; i++)
		if (verdict_now(verdicts, &verdicts->list[i]))
			verdicts->list[kept++] = verdicts->list[i];
	verdicts->count = kept;
}

void verdicts_look(struct verdicts *verdicts, const struct ruleset *set,
		   const struct document *document, uint64_t now_ns)
{
	verdicts->look++;
	verdicts->now_ns = now_ns;
	verdicts->cursor = 0;
	for (size_t i = 0; i < set->count; i++) {
		verdicts->rule = &set->rules[i];
		verdicts->found[i] =
			measure(verdicts->rule, document, take, verdicts, &verdicts->mismatch[i]);
	}
	drop_unseen(verdicts);
}

bool verdicts_pending(const struct verdicts *verdicts, uint64_t start_ns)
{
	for (size_t i = 0; i < verdicts->count; i++) {
		const struct verdict *verdict = &verdicts->list[i];

		if (verdict->since_ns != 0 && verdict->since_ns <= start_ns && !verdict->fires)
			return true;
	}
	return false;
}

void verdicts_free(struct verdicts *verdicts)
{
	free(verdicts->list);
	*verdicts = (struct verdicts){0};
}
