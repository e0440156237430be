/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format.h"

static const char *absent(char out[FORMAT_SIZE])
{
	strcpy(out, "-");
	return out;
}

/* Three significant digits. */
static const char *scaled(char out[FORMAT_SIZE], double value, const char *unit)
{
	double size = fabs(value);
	int decimals = size < 9.995 ? 2 : size < 99.95 ? 1 : 0;

	snprintf(out, FORMAT_SIZE, "%.*f%s", decimals, value, unit);
	return out;
}

const char *format_duration(char out[FORMAT_SIZE], double ns)
{
	double size = fabs(ns);

	if (isnan(ns))
		return absent(out);
	if (size < 999.5)
		return snprintf(out, FORMAT_SIZE, "%.0fns", ns), out;
	if (size < 999.5e3)
		return scaled(out, ns / 1e3, "us");
	if (size < 999.5e6)
		return scaled(out, ns / 1e6, "ms");
	if (size < 120e9)
		return scaled(out, ns / 1e9, "s");
	if (size < 7200e9)
		return scaled(out, ns / 60e9, "m");
	if (size < 172800e9)
		return scaled(out, ns / 3600e9, "h");
	return scaled(out, ns / 86400e9, "d");
}

static const char *prefixed(char out[FORMAT_SIZE], double value, double step)
{
	static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E"};
	size_t i = 0;

	if (isnan(value))
		return absent(out);
	while (fabs(value) >= 999.5 && i < 6) {
		value /= step;
		i++;
	}
	if (i == 0 && value == floor(value))
		return snprintf(out, FORMAT_SIZE, "%.0f", value), out;
	return scaled(out, value, prefixes[i]);
}

const char *format_bytes(char out[FORMAT_SIZE], double bytes)
{
	return prefixed(out, bytes, 1024);
}

const char *format_count(char out[FORMAT_SIZE], double count)
{
	return prefixed(out, count, 1000);
}

const char *format_percent(char out[FORMAT_SIZE], double ratio)
{
	if (isnan(ratio))
		return absent(out);
	snprintf(out, FORMAT_SIZE, "%.1f%%", ratio * 100);
	return out;
}

const char *format_value(char out[FORMAT_SIZE], double value, const char *unit)
{
	return strcmp(unit, "ns") == 0 ? format_duration(out, value) : format_count(out, value);
}
