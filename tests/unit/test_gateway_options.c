/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "options.h"

static struct gateway_options options;

static void begin(void)
{
	cr_redirect_stderr();
	cr_redirect_stdout();
}

static void end(void)
{
	options_free(&options);
}

/* Ends with NULL. */
static int load(const char *first, ...)
{
	char name[] = "shmbus-gateway", *argv[16] = {name};
	va_list rest;
	int argc = 1;

	va_start(rest, first);
	for (const char *at = first; at != NULL; at = va_arg(rest, const char *))
		argv[argc++] = (char *)(uintptr_t)at;
	va_end(rest);
	return options_load(argc, argv, &options);
}

static const char *file(const char *text)
{
	static char path[64];
	FILE *out;

	strcpy(path, "/tmp/shmbus-gateway-test-XXXXXX");
	out = fdopen(mkstemp(path), "w");
	cr_assert(out);
	fputs(text, out);
	fclose(out);
	return path;
}

/* What the file of this text gives. */
static int load_file(const char *text)
{
	const char *path = file(text);
	int status = load("--config", path, NULL);

	unlink(path);
	return status;
}

TestSuite(options, .init = begin, .fini = end);

Test(options, defaults)
{
	cr_assert_eq(load(NULL), -1);
	cr_expect_eq(options.listens, 0);
	cr_expect_eq(options.connections_max, 1024);
	cr_expect_eq(options.timeout_ns, 10000000000u);
	cr_expect_null(options.admin_token);
	cr_expect(!options.access_log && !options.sessions && !options.classic);
}

Test(options, flags_variables_file)
{
	const char *path = file("[gateway]\nbus = from-file\nstreams = 3\ntimeout = 4\n"
				"listen = 127.0.0.1:1\naccess-log = yes\n");

	setenv("SHMBUS_GATEWAY_CONFIG", path, 1);
	setenv("SHMBUS_GATEWAY_STREAMS", "5", 1);
	setenv("SHMBUS_GATEWAY_LISTEN", "127.0.0.1:2,unix:/x", 1);
	cr_assert_eq(load("--timeout", "2.5", "--listen=127.0.0.1:3", NULL), -1);
	unlink(path);
	cr_expect_str_eq(options.bus, "from-file");
	cr_expect_eq(options.streams_max, 5);
	cr_expect_eq(options.timeout_ns, 2500000000u);
	cr_expect(options.access_log);
	cr_expect_eq(options.listens, 1);
	cr_expect_str_eq(options.listen[0], "127.0.0.1:3");
}

Test(options, lists_of_variables)
{
	setenv("SHMBUS_GATEWAY_LISTEN", "127.0.0.1:2, unix:/x", 1);
	cr_assert_eq(load(NULL), -1);
	cr_expect_eq(options.listens, 2);
	cr_expect_str_eq(options.listen[1], "unix:/x");
}

Test(options, refused)
{
	cr_expect_eq(load("--streams", "0", NULL), 2);
	cr_expect_eq(load("--streams", "-1", NULL), 2);
	cr_expect_eq(load("--streams", "1x", NULL), 2);
	cr_expect_eq(load("--streams", "99999999999999999999", NULL), 2);
	cr_expect_eq(load("--timeout", "nan", NULL), 2);
	cr_expect_eq(load("--timeout", "", NULL), 2);
	cr_expect_eq(load("--otlp", "ftp://x", NULL), 2);
	cr_expect_eq(load("--otlp", "http://", NULL), 2);
	cr_expect_eq(load("--no-such", NULL), 2);
	cr_expect_eq(load("operand", NULL), 2);
	cr_expect_eq(load("--config", "/nonexistent/file", NULL), 2);
	cr_expect_eq(load("--admin-token-file", "/dev/null", NULL), 2);
}

Test(options, help_and_version)
{
	cr_expect_eq(load("--help", NULL), 0);
	cr_expect_eq(load("--version", NULL), 0);
}

Test(options, services)
{
	cr_assert_eq(load_file("[service asr]\nurl = http://127.0.0.1:1/health\ngroup = asr\n"
			       "critical = yes\ninterval = 5\ntimeout = 1\n"
			       "[service asr-2]\nurl = tcp://127.0.0.1:2\ngroup = asr\n"
			       "role = fallback\n[service tts]\nurl = unix:///run/tts.sock\n"),
		     -1);
	cr_assert_eq(options.service_count, 3);
	cr_expect_str_eq(options.services[0].name, "asr");
	cr_expect_str_eq(options.services[0].group, "asr");
	cr_expect(options.services[0].critical && !options.services[0].fallback);
	cr_expect_eq(options.services[0].interval_ns, 5000000000u);
	cr_expect(options.services[1].fallback);
	cr_expect_eq(options.services[1].interval_ns, 30000000000u);
	cr_expect_eq(options.services[1].timeout_ns, 3000000000u);
	cr_expect_str_eq(options.services[2].url, "unix:///run/tts.sock");
}

Test(options, services_refused)
{
	static const char *const files[] = {
		"[service a]\ngroup = x\n",                    /* no url */
		"[service a]\nurl = file:///etc/passwd\n",     /* no such scheme */
		"[service a]\nurl = http://x\nrole = other\n", /* no such role */
		"[service a b]\nurl = http://x\n",             /* a space in the name */
		"[service ]\nurl = http://x\n",
		"[service a]\nurl = http://x\ninterval = 1\ntimeout = 2\n",
		"[service a]\nurl = http://x\nno-such = 1\n",
		"[other]\nx = y\n",
		"bus = x\n", /* in no section */
		"[gateway]\nconfig = y\n",
		"[gateway]\nno-such = y\n",
		"[gateway]\nneither\n",
	};

	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		cr_expect_eq(load_file(files[i]), 2, "%s", files[i]);
		options_free(&options);
		memset(&options, 0, sizeof options);
	}
}

Test(options, token)
{
	const char *path = file("0123456789abcdef0123\nnot this\n");

	cr_assert_eq(load("--admin-token-file", path, NULL), -1);
	unlink(path);
	cr_expect_str_eq(options.admin_token, "0123456789abcdef0123");
}
