# What is installed, and the Debian package of it:
#   cmake --preset release && cmake --build --preset release
#   cpack --config build/release/CPackConfig.cmake
# Manual and completion are written by the program itself, when it is installed.
set(here ${CMAKE_CURRENT_LIST_DIR})
file(STRINGS ${CMAKE_SOURCE_DIR}/core/version.h version REGEX "define CHROMATID_VERSION ")
string(REGEX REPLACE ".*\"(.*)\".*" "\\1" version "${version}")

# install_made(FILE DIRECTORY command...): what the command prints, compressed if it is a .gz
function(install_made file directory)
	string(REGEX REPLACE "\\.gz$" "" plain ${file})
	string(JOIN " " command ${ARGN})
	set(made ${CMAKE_BINARY_DIR}/installed)
	install(CODE "
		file(MAKE_DIRECTORY ${made})
		execute_process(COMMAND ${command} OUTPUT_FILE ${made}/${plain} COMMAND_ERROR_IS_FATAL ANY)
		if(NOT ${file} STREQUAL ${plain})
			execute_process(COMMAND gzip -9nf ${made}/${plain} COMMAND_ERROR_IS_FATAL ANY)
		endif()")
	install(FILES ${made}/${file} DESTINATION ${directory})
endfunction()

install(TARGETS chromatid DESTINATION bin)
install_made(chromatid.1.gz share/man/man1 $<TARGET_FILE:chromatid> --document-man)
install_made(chromatid share/bash-completion/completions $<TARGET_FILE:chromatid> --document-completion)
install_made(changelog.gz share/doc/chromatid cat ${here}/debian/changelog)
install(FILES ${here}/debian/copyright DESTINATION share/doc/chromatid)
install(FILES ${here}/chromatid.service DESTINATION /lib/systemd/system)
install(FILES ${here}/chromatid.default DESTINATION /etc/default RENAME chromatid
	PERMISSIONS OWNER_READ OWNER_WRITE)

set(CPACK_GENERATOR DEB)
set(CPACK_SET_DESTDIR ON) # some of it goes to /etc and /lib
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_VERSION ${version})
set(CPACK_PACKAGE_CONTACT "Chromatid maintainers <maintainers@chromatid.example>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "high-availability proxy for self-hosted Chroma")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
	"One address for two Chroma servers: every write goes into a log in PostgreSQL\nfirst, and both servers execute it in order. When one of them dies, clients\ngo on reading and writing.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS postgresql)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${here}/debian/conffiles ${here}/debian/postinst
	${here}/debian/prerm ${here}/debian/postrm)
include(CPack)
