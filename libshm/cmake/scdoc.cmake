# SPDX-License-Identifier: MIT
# scdoc(1) is a filter; this gives it files, under any shell and with any path.
cmake_path(GET OUTPUT PARENT_PATH directory)
file(MAKE_DIRECTORY ${directory})
execute_process(COMMAND ${SCDOC}
	INPUT_FILE ${INPUT}
	OUTPUT_FILE ${OUTPUT}
	RESULT_VARIABLE result)
if(NOT result EQUAL 0)
	file(REMOVE ${OUTPUT})
	message(FATAL_ERROR "${INPUT}: scdoc failed")
endif()
# What scdoc cannot say. No hyphenation: it would break the names of fields in narrow columns. One
# endless page on a terminal: a page's end would leave a blank line in a table. No warning about
# names that are wider than tbl(1) had thought: it would go to the reader's terminal.
file(READ ${OUTPUT} page)
string(CONCAT prologue
	".nr HY 0\n"
	".if n .pl 9999v\n"
	".if (\\n[.warn] / 4 % 2) .warn (\\n[.warn] - 4)\n")
file(WRITE ${OUTPUT} "${prologue}${page}")
