/* SPDX-License-Identifier: MIT */
#include <string.h>

#include <criterion/criterion.h>

#include "host.h"

Test(host, addresses_and_own_names)
{
	static const char *const allowed[] = {
		"127.0.0.1",    "127.0.0.1:9750",
		"[::1]",        "[::1]:9750",
		"192.0.2.7:80", "localhost",
		"LOCALHOST:1",  "localhost.",
		"studio",       "studio.example.org:9750",
	};

	for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
		cr_expect(host_allowed(allowed[i], "studio.example.org", NULL), "%s", allowed[i]);
}

Test(host, others)
{
	static const char *const refused[] = {
		"",           ":80",         "evil.example", "localhost.evil.example",
		"studi",      "studio2",     "studio.evil",  "127.0.0.1.evil.example",
		"127.0.0.1a", "[evil]:9750", "[]",           "127.0.0.1@evil",
	};
	char large[4096];

	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		cr_expect(!host_allowed(refused[i], "studio.example.org", NULL), "%s", refused[i]);
	memset(large, 'a', sizeof large - 1);
	large[sizeof large - 1] = '\0';
	cr_expect(!host_allowed(large, "studio", "aaa"));
}

Test(host, more_names)
{
	cr_expect(host_allowed("metrics.lan:9750", "studio", "a.lan, metrics.lan"));
	cr_expect(host_allowed("A.LAN", "studio", "a.lan,metrics.lan"));
	cr_expect(!host_allowed("b.lan", "studio", "a.lan,metrics.lan"));
	cr_expect(!host_allowed("a.la", "studio", "a.lan"));
	cr_expect(host_allowed("what.ever", "studio", "*"));
	cr_expect(host_allowed("", "studio", "*"));
}
