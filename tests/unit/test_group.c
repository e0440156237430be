/* SPDX-License-Identifier: MIT */
/* test_group.c - the group that a session's segment is given to, by option and by environment. */
#include <criterion/criterion.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seen.h"

#define OTHER 4242

static struct shmbus_session_options options;

/* Opens, looks at the file, closes. */
static void given(gid_t group, mode_t mode)
{
	struct shmbus_session *session;
	struct stat status;
	char path[128];
	int error = shmbus_session_open(&options, &session);

	cr_assert_eq(error, 0, "%s", shmbus_strerror(error));
	snprintf(path, sizeof path, "/dev/shm%s", shmbus_session_segment(session));
	cr_assert_eq(stat(path, &status), 0);
	cr_assert_eq(status.st_mode & 07777, mode, "mode %04o", status.st_mode & 07777);
	cr_assert_eq(status.st_gid, group, "group %u", status.st_gid);
	shmbus_session_close(session);
}

static void refused(int error, const char *word)
{
	struct shmbus_session *session;
	int got = shmbus_session_open(&options, &session);

	cr_assert_eq(got, error, "%d, %s", got, shmbus_strerror(got));
	cr_assert_not_null(strstr(shmbus_strerror(got), word), "%s", shmbus_strerror(got));
	cr_assert_str_eq(shmbus_session_segment(session), "", "a handle that does nothing");
}

static const char *own_number(void)
{
	static char text[16];

	snprintf(text, sizeof text, "%u", (unsigned)getegid());
	return text;
}

Test(group, none)
{
	unsetenv("SHMBUS_GROUP");
	given(getegid(), 0600);
	setenv("SHMBUS_GROUP", "", 1);
	given(getegid(), 0600);
}

Test(group, a_number)
{
	options.group = own_number();
	given(getegid(), 0660);
	options.mode = 0640;
	given(getegid(), 0640);
	options.mode = 0660;
	given(getegid(), 0660);
}

Test(group, a_name)
{
	const struct group *own = getgrgid(getegid());
	char name[64];

	if (own == NULL)
		cr_skip_test("the test's group has no name");
	snprintf(name, sizeof name, "%s", own->gr_name);
	options.group = name;
	given(getegid(), 0660);
}

Test(group, the_environment)
{
	setenv("SHMBUS_GROUP", own_number(), 1);
	given(getegid(), 0660);
	setenv("SHMBUS_GROUP", "no-such-group", 1);
	refused(-EINVAL, "no group \"no-such-group\" ($SHMBUS_GROUP)");
	options.mode = 0600;
	given(getegid(), 0600);
	options.mode = 0;
	options.group = "";
	given(getegid(), 0600);
	options.group = own_number();
	given(getegid(), 0660);
}

Test(group, what_is_none)
{
	static const char *const bad[] = {"no-such-group", "-1", "4294967295", "99999999999999999",
					  "0x10",          "1 ", " 1"};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		options.group = bad[i];
		refused(-EINVAL, "there is no group");
	}
	options.group = own_number();
	options.mode = 0600;
	refused(-EINVAL, "0640 or 0660");
}

/* Root may give files to any group, others to those that they are in. */
Test(group, another)
{
	const gid_t groups[] = {OTHER};

	if (geteuid() != 0)
		cr_skip_test("needs root to be in another group");
	options.group = "4242";
	given(OTHER, 0660);
	cr_assert_eq(setgroups(1, groups), 0);
	cr_assert_eq(setegid(65534), 0);
	cr_assert_eq(seteuid(65534), 0);
	given(OTHER, 0660);
	options.group = "4243";
	refused(-EPERM, "cannot give");
	refused(-EPERM, "to group 4243");
}
