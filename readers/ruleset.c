/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "document.h"
#include "ruleset.h"

/* From the practice of voice pipelines and of playback: what is heard begins about there. */
static const char *const defaults[] = {
	"warning */*:@latency.1m.mean > 10ms", "critical */*:@latency.1m.max > 20ms",
	"warning */*:@timing.1m.mean > 1ms",   "critical */*:@timing.1m.max > 5ms",
	"critical */*:@e2e.1m.max > 1500ms",   "warning */*:@drops > 0",
	"warning */*:@memory > 50MB",
};

/* The line, without what a terminal must not get, and a mark below the column. */
static void point_at(const char *line, const struct rule_error *error)
{
	char shown[2 * RULE_TEXT_SIZE];
	int before = 0;

	text_clean(line, strcspn(line, "\n"), shown, sizeof shown);
	for (size_t i = 0; i + 1 < error->column && line[i] != '\0'; i++)
		before += ((unsigned char)line[i] & 0xc0) != 0x80; /* not inside a character */
	fprintf(stderr, "    %s\n    %*s^\n", shown, before, "");
}

static struct rule *next(struct ruleset *set)
{
	if (set->count < RULES_MAX)
		return &set->rules[set->count];
	fprintf(stderr, "shmbus check: more than %d rules\n", RULES_MAX);
	return NULL;
}

bool ruleset_add(struct ruleset *set, enum level level, const char *option, const char *text)
{
	struct rule *rule = next(set);
	struct rule_error error = {0};

	if (rule == NULL)
		return false;
	rule->level = level;
	if (!rule_parse(text, rule, &error)) {
		fprintf(stderr, "shmbus check: %s: column %zu: %s\n", option, error.column,
			error.text);
		point_at(text, &error);
		return false;
	}
	set->count++;
	return true;
}

static bool add_line(struct ruleset *set, const char *path, size_t number, const char *line)
{
	struct rule unused = {0},
		    *rule = set->count < RULES_MAX ? &set->rules[set->count] : &unused;
	struct rule_error error = {0};
	bool empty;

	if (!rule_parse_line(line, rule, &empty, &error)) {
		fprintf(stderr, "shmbus check: %s:%zu:%zu: %s\n", path, number, error.column,
			error.text);
		point_at(line, &error);
		return false;
	}
	if (empty)
		return true;
	if (next(set) == NULL)
		return false;
	set->count++;
	return true;
}

bool ruleset_read(struct ruleset *set, const char *path)
{
	FILE *file = fopen(path, "re");
	char line[1024];
	size_t number = 0;
	bool good = file != NULL;

	while (good && fgets(line, sizeof line, file) != NULL) {
		size_t length = strlen(line);

		while (length > 0 && strchr(" \t\r\n", line[length - 1]) != NULL)
			line[--length] = '\0';
		good = add_line(set, path, ++number, line);
	}
	if (file == NULL || ferror(file)) {
		fprintf(stderr, "shmbus check: cannot read %s: %s\n", path, strerror(errno));
		good = false;
	}
	if (file != NULL)
		fclose(file);
	return good;
}

void ruleset_add_default(struct ruleset *set)
{
	for (size_t i = 0; i < sizeof defaults / sizeof defaults[0] && set->count < RULES_MAX;
	     i++) {
		struct rule *rule = &set->rules[set->count];
		struct rule_error error = {0};
		bool empty, good = rule_parse_line(defaults[i], rule, &empty, &error);

		assert(good && !empty);
		(void)good;
		rule->optional = true;
		set->count++;
	}
}

void ruleset_print(const struct ruleset *set, FILE *out)
{
	for (size_t i = 0; i < set->count; i++)
		fprintf(out, "%-8s %s\n",
			set->rules[i].level == LEVEL_WARNING ? "warning" : "critical",
			set->rules[i].text);
}
