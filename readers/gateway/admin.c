/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <strings.h>

#include "admin.h"
#include "gateway.h"

static const char scheme[] = "Bearer ";

/* In a time that depends on what was given alone, and tells nothing of the token. */
static bool same(const char *given, const char *token)
{
	size_t given_size = strlen(given), token_size = strlen(token);
	volatile unsigned char difference = given_size != token_size || token_size == 0;

	for (size_t i = 0; i < given_size; i++)
		difference |=
			(unsigned char)(given[i] ^ token[token_size != 0 ? i % token_size : 0]);
	return difference == 0;
}

enum admin admin_check(bool local, const char *authorization, const char *token)
{
	if (local)
		return ADMIN_YES;
	if (token == NULL)
		return ADMIN_NOBODY;
	if (authorization == NULL)
		return ADMIN_NO_TOKEN;
	if (strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
		return ADMIN_WRONG_TOKEN;
	authorization += sizeof scheme - 1;
	return same(authorization, token) ? ADMIN_YES : ADMIN_WRONG_TOKEN;
}

bool admin_or_answer(struct request *request, enum MHD_Result *out)
{
	switch (admin_check(request->local, request_header(request, MHD_HTTP_HEADER_AUTHORIZATION),
			    request->gateway->options->admin_token)) {
	case ADMIN_YES:
		return true;
	case ADMIN_NO_TOKEN:
		*out = answer_error(request, MHD_HTTP_UNAUTHORIZED,
				    "send the admin token: Authorization: Bearer TOKEN");
		return false;
	case ADMIN_WRONG_TOKEN:
		*out = answer_error(request, MHD_HTTP_FORBIDDEN, "this is not the admin token");
		return false;
	default:
		*out = answer_error(request, MHD_HTTP_FORBIDDEN,
				    "over TCP nobody may do this: start shmbus-gateway with "
				    "--admin-token-file, or ask over a Unix socket");
		return false;
	}
}
