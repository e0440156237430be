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
