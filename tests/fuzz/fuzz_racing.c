/* SPDX-License-Identifier: MIT */
/*
 * fuzz_racing.c - the agent's code on a segment that another thread changes all the while: it makes
 * the script's LATER changes and takes them back, again and again, in no order that anybody knows.
 * A failure may need more than one try to be seen again.
 */
#include "agent_script.h"
#include "script.h"

#define TIMES 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	script_race();
	agent_script_run(data, size, TIMES);
	return 0;
}
