/* SPDX-License-Identifier: MIT */
/* bus.c - the rules for names, each with a message that says what is allowed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Without a dot, so that no bus' files can be taken for another's. */
static bool bus_valid(const char *bus)
{
	size_t length = strlen(bus);

	if (length == 0 || length >= SHMBUS_BUS_SIZE)
		return false;
	for (const char *c = bus; *c != '\0'; c++)
		if (!is_alpha(*c) && !is_digit(*c) && *c != '-')
			return false;
	return true;
}

int shmbus__bus_resolve(const char *bus, char out[SHMBUS_BUS_SIZE])
{
	if (bus == NULL)
		bus = secure_getenv("SHMBUS_BUS");
	if (bus == NULL || bus[0] == '\0')
		bus = "default";
	if (!bus_valid(bus))
		return shmbus__fail(-EINVAL,
				    "bus name \"%.40s\" is not allowed: 1 to %u of A-Z a-z 0-9 _ -",
				    bus, SHMBUS_BUS_SIZE - 1);
	memcpy(out, bus, strlen(bus) + 1);
	return 0;
}

int shmbus__name_check(const char *what, const char *name, size_t size)
{
	if (name == NULL || name[0] == '\0')
		return shmbus__fail(-EINVAL, "%s: a name is needed", what);
	if (strlen(name) >= size)
		return shmbus__fail(-E2BIG, "%s \"%.40s...\" is too long: at most %zu bytes", what,
				    name, size - 1);
	for (const char *c = name; *c != '\0'; c++)
		if (!is_alpha(*c) && (c == name || (!is_digit(*c) && !strchr(".:/-", *c))))
			return shmbus__fail(-EINVAL,
					    "%s \"%s\" is not allowed: a letter or _, then "
					    "letters, digits, _ . : / -",
					    what, name);
	return 0;
}

/* Decodes one UTF-8 sequence. Returns its length, 0 for anything that is not well-formed. */
static size_t utf8_length(const unsigned char *c)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
	uint32_t code;

	if (length <= 1)
		return length;
	if (c[0] > 0xf4)
		return 0;
	code = c[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (c[i] & 0x3fu);
	}
	if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return code < 0xa0 ? 0 : length; /* C1 controls are controls too */
}

bool shmbus__utf8_printable(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	while (*c != '\0') {
		size_t length = utf8_length(c);

		if (length == 0 || c[0] < 0x20 || c[0] == 0x7f)
			return false;
		c += length;
	}
	return true;
}

int shmbus__text_check(const char *what, const char *text, size_t size)
{
	if (text == NULL)
		return 0;
	if (strlen(text) >= size)
		return shmbus__fail(-E2BIG, "%s is too long (%zu bytes): at most %zu", what,
				    strlen(text), size - 1);
	if (!shmbus__utf8_printable(text))
		return shmbus__fail(-EINVAL, "%s must be UTF-8 without control characters", what);
	return 0;
}

int shmbus__label_check(const char *key, const char *value)
{
	if (key == NULL || key[0] == '\0')
		return shmbus__fail(-EINVAL, "label: a key is needed");
	if (strlen(key) >= SHMBUS_LABEL_KEY_SIZE)
		return shmbus__fail(-E2BIG, "label key \"%.40s...\" is too long: at most %u bytes",
				    key, SHMBUS_LABEL_KEY_SIZE - 1);
	for (const char *c = key; *c != '\0'; c++)
		if (!is_alpha(*c) && (c == key || !is_digit(*c)))
			return shmbus__fail(-EINVAL,
					    "label key \"%s\" is not allowed: a letter or _, then "
					    "letters, digits, _",
					    key);
	return shmbus__text_check("label value", value, SHMBUS_LABEL_VALUE_SIZE);
}

void shmbus__agent_path(char *out, size_t size, const char *bus)
{
	snprintf(out, size, SHMBUS_SHM_DIR "/" SHMBUS_PREFIX "%s." SHMBUS_AGENT_SUFFIX, bus);
}
