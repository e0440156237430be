/* SPDX-License-Identifier: MIT */
/* options_set.h - one option, wherever it comes from. Private to options.c and options_set.c. */
#ifndef SHMBUS_GATEWAY_OPTIONS_SET_H
#define SHMBUS_GATEWAY_OPTIONS_SET_H

#include <getopt.h>

#include "options.h"

enum { OPTION_SETTING = 256, OPTION_CONFIG };

extern const struct option option_table[];

/* Sets the option of that name. `origin` stands in the message where it is not allowed: then
 * false. */
bool option_set(struct gateway_options *options, const char *name, const char *value,
		const char *origin);
bool option_service_set(struct gateway_options *options, const char *service, const char *name,
			const char *value, const char *origin);

/* Whether all services have what they need. */
bool option_services_check(const struct gateway_options *options, const char *origin);

/* Says what is allowed; returns false. */
bool option_refused(const char *origin, const char *value, const char *allowed);

#endif /* SHMBUS_GATEWAY_OPTIONS_SET_H */
