/* SPDX-License-Identifier: MIT */
/* error.c - errors as numbers for programs and as sentences for people. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "internal.h"

static _Thread_local struct {
	int error;
	char text[256];
} last;

int shmbus__fail(int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(last.text, sizeof last.text, format, arguments);
	va_end(arguments);
	last.error = error;
	return error;
}

const char *shmbus_strerror(int error)
{
	static _Thread_local char text[128];
	/* Unsigned, because INT_MIN has no negative; it is an unknown error like others. */
	int number = error < 0 ? (int)-(unsigned)error : error;

	if (error < 0 && error == last.error)
		return last.text;
	/* The GNU variant, whose result may or may not be the buffer. */
	return strerror_r(number, text, sizeof text);
}

const char *shmbus_version(void)
{
	return SHMBUS_VERSION_STRING;
}
