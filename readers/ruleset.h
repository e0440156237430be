/* SPDX-License-Identifier: MIT */
/* ruleset.h - the rules of one check: given, read from a file, or those that are shipped. */
#ifndef SHMBUS_READERS_RULESET_H
#define SHMBUS_READERS_RULESET_H

#include <stdio.h>

#include "rule.h"

#define RULES_MAX 256

struct ruleset {
	struct rule rules[RULES_MAX];
	size_t count;
};

/* Each returns false, and says on stderr what is wrong and where, for what is not allowed. */
bool ruleset_add(struct ruleset *set, enum level level, const char *option, const char *text);
bool ruleset_read(struct ruleset *set, const char *path);

/* The thresholds that are shipped; what they are about may be absent. */
void ruleset_add_default(struct ruleset *set);

/* Prints the rules as a file has them. */
void ruleset_print(const struct ruleset *set, FILE *out);

#endif /* SHMBUS_READERS_RULESET_H */
