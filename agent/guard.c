/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

#include "guard.h"

static _Thread_local sigjmp_buf escape;
static _Thread_local volatile sig_atomic_t guarded;

static void on_sigbus(int signal_number)
{
	if (guarded)
		siglongjmp(escape, 1);
	/* Not ours: fall back to the default, which ends the process where it stands. */
	signal(signal_number, SIG_DFL);
}

int guard_init(void)
{
	/* SA_NODEFER: the handler is left by a jump that does not restore the mask. */
	struct sigaction action = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER};

	return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : -errno;
}

bool guard_run(void (*body)(void *data), void *data)
{
	if (sigsetjmp(escape, 0) == 0) {
		guarded = 1;
		body(data);
		guarded = 0;
		return true;
	}
	guarded = 0;
	return false;
}
