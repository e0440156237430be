/* SPDX-License-Identifier: MIT */
#include <string.h>

#include <criterion/criterion.h>

#include "probe_state.h"

/* What a letter after the other means: results in, '+' and '-', and states out. */
static const struct {
	const char *results, *states;
} table[] = {
	{"", "H"},
	{"+", "HH"},
	{"++++", "HHHHH"},
	{"-", "HD"},
	{"--", "HDD"},
	{"---", "HDDF"},
	{"----", "HDDFF"},
	{"--+", "HDDD"},
	{"--+--", "HDDDDD"}, /* not in a row */
	{"--+---", "HDDDDDF"},
	{"-+++", "HDDDH"},
	{"-++-", "HDDDD"},
	{"-++-+++", "HDDDDDDH"},
	{"---+", "HDDFD"}, /* back, but not believed yet */
	{"---++", "HDDFDD"},
	{"---+++", "HDDFDDH"},
	{"---+++-", "HDDFDDHD"},
	{"---+-", "HDDFDD"}, /* a new row begins */
	{"---+---", "HDDFDDDF"},
	{"+++---", "HHHHDDF"},
	{"---+++---+++", "HDDFDDHDDFDDH"},
};

static char letter(const struct probe_state *state)
{
	return probe_status_name(probe_status(state))[0];
}

Test(probe_state, table)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct probe_state state = {0};

		cr_expect_eq(letter(&state), table[i].states[0]);
		for (size_t j = 0; table[i].results[j] != '\0'; j++) {
			if (table[i].results[j] == '+')
				probe_succeeded(&state, j + 1, 1);
			else
				probe_failed(&state, j + 1, "why");
			cr_expect_eq(letter(&state), table[i].states[j + 1], "%s at %zu: %c",
				     table[i].results, j, letter(&state));
		}
	}
}

Test(probe_state, what_is_kept)
{
	struct probe_state state = {0};
	char long_error[1000];

	memset(long_error, 'x', sizeof long_error - 1);
	long_error[sizeof long_error - 1] = '\0';
	probe_failed(&state, 10, "refused");
	probe_failed(&state, 20, long_error);
	cr_expect_eq(strlen(state.last_error), PROBE_ERROR_SIZE - 1);
	cr_expect_eq(state.failures_row, 2);
	cr_expect_eq(state.last_success_unix_ns, 0);
	cr_expect_eq(state.last_failure_unix_ns, 20);
	probe_succeeded(&state, 30, 1234);
	cr_expect_eq(state.checks, 3);
	cr_expect_eq(state.failures_row, 0);
	cr_expect_eq(state.failures_total, 2);
	cr_expect_eq(state.last_check_unix_ns, 30);
	cr_expect_eq(state.last_success_unix_ns, 30);
	cr_expect_eq(state.last_failure_unix_ns, 20);
	cr_expect_eq(state.latency_ns, 1234);
	cr_expect_eq(state.last_error[0], 'x', "the last error stays");
}

/* ---- groups ---- */

/* Members as letters: P, p a primary that is usable, has failed; F, f a fallback likewise. */
static const struct {
	const char *members;
	size_t active;
} groups[] = {
	{"", 0},     {"P", 0},    {"p", 1},    {"F", 0},    {"PF", 0},   {"FP", 1},
	{"pF", 1},   {"Fp", 0},   {"pf", 2},   {"PP", 0},   {"pP", 1},   {"pPF", 1},
	{"ppFF", 2}, {"ppfF", 3}, {"fFpp", 1}, {"fFpP", 3}, {"ppff", 4},
};

Test(probe_state, groups)
{
	for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
		struct probe_member members[8];
		size_t count = strlen(groups[i].members);

		for (size_t j = 0; j < count; j++) {
			char one = groups[i].members[j];

			members[j].fallback = one == 'F' || one == 'f';
			members[j].status = one == 'p' || one == 'f' ? PROBE_FAILED
					    : j % 2 != 0             ? PROBE_DEGRADED
								     : PROBE_HEALTHY;
		}
		cr_expect_eq(probe_active(members, count), groups[i].active, "%s",
			     groups[i].members);
	}
}
