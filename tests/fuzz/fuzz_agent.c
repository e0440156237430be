/* SPDX-License-Identifier: MIT */
/* fuzz_agent.c - the agent's code on a segment that changes where the script says. */
#include "agent_script.h"
#include "script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	agent_script_run(data, size, 1);
	return 0;
}
