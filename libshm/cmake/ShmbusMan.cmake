# SPDX-License-Identifier: MIT
# shmbus_add_man(FILE.scd): makes the manual page FILE and installs it; FILE ends in its section,
# as shmbus-agent.1.scd. Without scdoc there are no pages. Naming a page twice does no harm.
find_program(SHMBUS_SCDOC scdoc DOC "Makes the manual pages")
mark_as_advanced(SHMBUS_SCDOC)

if(SHMBUS_SCDOC AND NOT TARGET shmbus_man)
	add_custom_target(shmbus_man ALL)
endif()

function(shmbus_add_man source)
	cmake_path(ABSOLUTE_PATH source NORMALIZE)
	cmake_path(GET source STEM LAST_ONLY page)
	if(NOT page MATCHES "\\.([1-9])$")
		message(FATAL_ERROR "shmbus_add_man: ${source} is not named PAGE.SECTION.scd")
	endif()
	set(section ${CMAKE_MATCH_1})
	if(NOT SHMBUS_SCDOC)
		return()
	endif()
	get_property(known GLOBAL PROPERTY SHMBUS_MAN_PAGES)
	if(source IN_LIST known)
		return()
	endif()
	set_property(GLOBAL APPEND PROPERTY SHMBUS_MAN_PAGES ${source})

	set(script ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/scdoc.cmake)
	set(output ${PROJECT_BINARY_DIR}/man/man${section}/${page})
	add_custom_command(OUTPUT ${output}
		COMMAND ${CMAKE_COMMAND} -D SCDOC=${SHMBUS_SCDOC} -D INPUT=${source}
			-D OUTPUT=${output} -P ${script}
		DEPENDS ${source} ${script}
		COMMENT "Making ${page}"
		VERBATIM)
	string(MAKE_C_IDENTIFIER "shmbus_man_${page}" target)
	add_custom_target(${target} DEPENDS ${output})
	add_dependencies(shmbus_man ${target})
	shmbus_add_man_aliases(${source} ${page} ${section})
	if(SHMBUS_INSTALL)
		install(FILES ${output} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
	endif()
endfunction()

# A page that names several functions is found under each of their names.
function(shmbus_add_man_aliases source page section)
	set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
	file(READ ${source} text LIMIT 1000)
	if(NOT text MATCHES "# NAME\n\n([^\n]+(\n[^\n]+)*) - ")
		message(FATAL_ERROR "${source}: there is no NAME section")
	endif()
	string(REGEX MATCHALL "[A-Za-z0-9_-]+" names "${CMAKE_MATCH_1}")
	foreach(name IN LISTS names)
		if(name STREQUAL "-" OR page STREQUAL "${name}.${section}")
			continue()
		endif()
		set(alias ${PROJECT_BINARY_DIR}/man/man${section}/${name}.${section})
		file(CONFIGURE OUTPUT ${alias} CONTENT ".so man${section}/${page}\n")
		if(SHMBUS_INSTALL)
			install(FILES ${alias} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
		endif()
	endforeach()
endfunction()
