/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "expose_unit.h"

#define UCUM_SIZE 64

static const struct known {
	const char *ucum;
	const char *name, *one; /* many, and behind "per" */
	double factor;
} units[] = {
	{"ns", "seconds", "second", 1e-9}, {"us", "seconds", "second", 1e-6},
	{"ms", "seconds", "second", 1e-3}, {"s", "seconds", "second", 1},
	{"min", "seconds", "second", 60},  {"h", "seconds", "second", 3600},
	{"d", "seconds", "second", 86400}, {"By", "bytes", "byte", 1},
	{"kBy", "bytes", "byte", 1e3},     {"MBy", "bytes", "byte", 1e6},
	{"GBy", "bytes", "byte", 1e9},     {"TBy", "bytes", "byte", 1e12},
	{"KiBy", "bytes", "byte", 0x1p10}, {"MiBy", "bytes", "byte", 0x1p20},
	{"GiBy", "bytes", "byte", 0x1p30}, {"TiBy", "bytes", "byte", 0x1p40},
	{"bit", "bits", "bit", 1},         {"kbit", "bits", "bit", 1e3},
	{"Mbit", "bits", "bit", 1e6},      {"%", "ratio", "ratio", 1e-2},
	{"Hz", "hertz", "hertz", 1},       {"kHz", "hertz", "hertz", 1e3},
	{"MHz", "hertz", "hertz", 1e6},    {"GHz", "hertz", "hertz", 1e9},
	{"V", "volts", "volt", 1},         {"mV", "volts", "volt", 1e-3},
	{"A", "amperes", "ampere", 1},     {"mA", "amperes", "ampere", 1e-3},
	{"W", "watts", "watt", 1},         {"mW", "watts", "watt", 1e-3},
	{"J", "joules", "joule", 1},       {"m", "meters", "meter", 1},
	{"mm", "meters", "meter", 1e-3},   {"g", "grams", "gram", 1},
	{"kg", "grams", "gram", 1e3},      {"Cel", "celsius", "celsius", 1},
	{"K", "kelvin", "kelvin", 1},      {"dB", "decibels", "decibel", 1},
	{"B", "decibels", "decibel", 10},
};

char *name_part(const char *text, char *out, unsigned int size)
{
	unsigned int used = 0;
	bool gap = false;

	for (; *text != '\0'; text++) {
		char c = *text;
		bool word =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!word) {
			gap = used != 0;
			continue;
		}
		if (used + gap + 1 >= size)
			break;
		if (gap)
			out[used++] = '_';
		gap = false;
		out[used++] = c;
	}
	out[used] = '\0';
	return out;
}

static const struct known *known_unit(const char *ucum)
{
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (strcmp(units[i].ucum, ucum) == 0)
			return &units[i];
	return NULL;
}

/* Without annotations; "1", which is no unit, becomes nothing. */
static void without_annotations(const char *ucum, char out[UCUM_SIZE])
{
	size_t used = 0;
	bool inside = false;

	for (; *ucum != '\0' && used < UCUM_SIZE - 1; ucum++) {
		inside |= *ucum == '{';
		if (!inside)
			out[used++] = *ucum;
		inside &= *ucum != '}';
	}
	out[used] = '\0';
	if (strcmp(out, "1") == 0)
		out[0] = '\0';
}

void unit_of(const char *ucum, struct unit *out)
{
	char over[UCUM_SIZE], word[UNIT_NAME_SIZE / 2], *under;
	const struct known *known;

	*out = (struct unit){.factor = 1};
	without_annotations(ucum, over);
	under = strchr(over, '/');
	if (under != NULL)
		*under++ = '\0';
	if (strcmp(over, "1") == 0)
		over[0] = '\0';
	known = known_unit(over);
	if (known != NULL)
		out->factor = known->factor;
	out->time = under == NULL && known != NULL && strcmp(known->name, "seconds") == 0;
	snprintf(out->name, sizeof out->name, "%s",
		 known != NULL ? known->name : name_part(over, word, sizeof word));
	if (under == NULL)
		return;
	known = known_unit(under);
	if (known != NULL)
		out->factor /= known->factor;
	else if (name_part(under, word, sizeof word)[0] == '\0')
		return;
	snprintf(out->name + strlen(out->name), sizeof out->name - strlen(out->name), "%sper_%s",
		 out->name[0] != '\0' ? "_" : "", known != NULL ? known->one : word);
}
