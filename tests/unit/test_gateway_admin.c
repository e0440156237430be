/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "admin.h"

Test(admin, tokens)
{
	static const char token[] = "0123456789abcdef";

	cr_expect_eq(admin_check(true, NULL, NULL), ADMIN_YES);
	cr_expect_eq(admin_check(true, "Bearer wrong", token), ADMIN_YES);
	cr_expect_eq(admin_check(false, NULL, NULL), ADMIN_NOBODY);
	cr_expect_eq(admin_check(false, "Bearer 0123456789abcdef", NULL), ADMIN_NOBODY);
	cr_expect_eq(admin_check(false, "Bearer ", ""), ADMIN_WRONG_TOKEN);
	cr_expect_eq(admin_check(false, NULL, token), ADMIN_NO_TOKEN);
	cr_expect_eq(admin_check(false, "Bearer 0123456789abcdef", token), ADMIN_YES);
	cr_expect_eq(admin_check(false, "bearer 0123456789abcdef", token), ADMIN_YES);
	cr_expect_eq(admin_check(false, "Bearer 0123456789abcdeF", token), ADMIN_WRONG_TOKEN);
	cr_expect_eq(admin_check(false, "Bearer 0123456789abcde", token), ADMIN_WRONG_TOKEN);
	cr_expect_eq(admin_check(false, "Bearer 0123456789abcdef0", token), ADMIN_WRONG_TOKEN);
	cr_expect_eq(admin_check(false, "Bearer 0123456789abcdef0123456789abcdef", token),
		     ADMIN_WRONG_TOKEN);
	cr_expect_eq(admin_check(false, "Bearer ", token), ADMIN_WRONG_TOKEN);
	cr_expect_eq(admin_check(false, "Basic 0123456789abcdef", token), ADMIN_WRONG_TOKEN);
	cr_expect_eq(admin_check(false, "", token), ADMIN_WRONG_TOKEN);
}
