/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "log.h"

static const char *log_bus = "";
static bool log_verbose;

void log_setup(const char *bus, bool verbose)
{
	log_bus = bus;
	log_verbose = verbose;
}

/* One write(2) a line, so that the threads' lines do not mix. */
__attribute__((format(printf, 1, 0))) static void line(const char *format, va_list arguments)
{
	char text[512];
	int start = snprintf(text, sizeof text, "shmbus-agent[%s]: ", log_bus);
	int length = vsnprintf(text + start, sizeof text - (size_t)start - 1, format, arguments);
	size_t end = (size_t)start + (size_t)length;

	if (length < 0)
		return;
	if (end > sizeof text - 2)
		end = sizeof text - 2;
	text[end] = '\n';
	if (write(STDERR_FILENO, text, end + 1) < 0)
		return; /* there is nobody left to tell */
}

void log_line(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	line(format, arguments);
	va_end(arguments);
}

void log_detail(const char *format, ...)
{
	va_list arguments;

	if (!log_verbose)
		return;
	va_start(arguments, format);
	line(format, arguments);
	va_end(arguments);
}
