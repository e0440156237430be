/* SPDX-License-Identifier: MIT */
/*
 * tap.h - results in the Test Anything Protocol, for test programs that are plain mains.
 *
 *	int main(void)
 *	{
 *		tap_ok(sum == expected, "nothing is lost");
 *		return tap_done();
 *	}
 *
 * The plan is printed last, by tap_done(): a program that dies on the way has none, and
 * tests/run.py counts that as a failure. For one thread.
 */
#ifndef SHMBUS_TESTS_TAP_H
#define SHMBUS_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned int tap__count;
static unsigned int tap__failed;

/* A line about what goes on; shown where the test fails. */
__attribute__((format(printf, 1, 2), unused)) static void tap_diag(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("# ", stdout);
	vprintf(format, arguments);
	putchar('\n');
	fflush(stdout);
	va_end(arguments);
}

/* One result. Returns the condition. */
__attribute__((format(printf, 2, 3), unused)) static bool tap_ok(bool condition, const char *format,
								 ...)
{
	va_list arguments;

	va_start(arguments, format);
	tap__count++;
	if (!condition)
		tap__failed++;
	printf("%s %u - ", condition ? "ok" : "not ok", tap__count);
	vprintf(format, arguments);
	putchar('\n');
	fflush(stdout);
	va_end(arguments);
	return condition;
}

/* One result named by its condition; says where it stands when it fails. */
#define tap_check(condition)                                                                       \
	(tap_ok((condition), "%s", #condition) || (tap_diag("at %s:%d", __FILE__, __LINE__), false))

/* One result that cannot be had here. */
__attribute__((unused)) static void tap_skip(const char *name, const char *reason)
{
	printf("ok %u - %s # SKIP %s\n", ++tap__count, name, reason);
	fflush(stdout);
}

/* The whole program cannot run here: return tap_skip_all("..."); */
__attribute__((unused)) static int tap_skip_all(const char *reason)
{
	printf("1..0 # SKIP %s\n", reason);
	fflush(stdout);
	return EXIT_SUCCESS;
}

/* Going on makes no sense. Does not return. */
__attribute__((format(printf, 1, 2), noreturn, unused)) static void tap_bail(const char *format,
									     ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("Bail out! ", stdout);
	vprintf(format, arguments);
	putchar('\n');
	fflush(stdout);
	va_end(arguments);
	exit(EXIT_FAILURE);
}

/* Prints the plan. Returns the exit status. */
__attribute__((unused)) static int tap_done(void)
{
	printf("1..%u\n", tap__count);
	fflush(stdout);
	return tap__count > 0 && tap__failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif /* SHMBUS_TESTS_TAP_H */
