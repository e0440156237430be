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

static const char *prefixed(char out[FORMAT_SIZE], double value, double step,
			    const char *const prefixes[7])
{
	size_t i = 0;

	if (isnan(value))
		return absent(out);
	while (fabs(value) >= 999.5 && i < 6) {
		value /= step;
		i++;
	}
	if (i == 0 && value == floor(value))
		return snprintf(out, FORMAT_SIZE, "%.0f%s", value, prefixes[0]), out;
	return scaled(out, value, prefixes[i]);
}

const char *format_bytes(char out[FORMAT_SIZE], double bytes)
{
	static const char *const prefixes[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

	return prefixed(out, bytes, 1024, prefixes);
}

const char *format_count(char out[FORMAT_SIZE], double count)
{
	static const char *const prefixes[] = {"", "k", "M", "G", "T", "P", "E"};

	if (fabs(count) < 99999.5 && (fabs(count) >= 999.5 || count == floor(count)))
		return snprintf(out, FORMAT_SIZE, "%.0f", count), out;
	return prefixed(out, count, 1000, prefixes);
}

const char *format_percent(char out[FORMAT_SIZE], double ratio)
{
	char whole[FORMAT_SIZE];

	if (isnan(ratio))
		return absent(out);
	if (fabs(ratio) < 9.9995)
		return snprintf(out, FORMAT_SIZE, "%.1f%%", ratio * 100), out;
	snprintf(out, FORMAT_SIZE, "%.22s%%", format_count(whole, round(ratio * 100)));
	return out;
}

double format_unit_ns(const char *unit)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"min", 60e9}, {"h", 3600e9}};

	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (strcmp(unit, units[i].name) == 0)
			return units[i].ns;
	return 0;
}

const char *format_value(char out[FORMAT_SIZE], double value, const char *unit)
{
	double ns = format_unit_ns(unit);

	if (ns != 0)
		return format_duration(out, value * ns);
	return strcmp(unit, "By") == 0 ? format_bytes(out, value) : format_count(out, value);
}

const char *format_unit(char *out, const char *unit)
{
	size_t length = strlen(unit);

	if (format_unit_ns(unit) != 0 || strcmp(unit, "By") == 0 || strcmp(unit, "1") == 0)
		length = 0;
	else if (unit[0] == '{' && unit[length - 1] == '}' && length > 2)
		unit++, length -= 2;
	memmove(out, unit, length);
	out[length] = '\0';
	return out;
}
