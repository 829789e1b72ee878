# Compile and link options live on one interface target.
add_library(csl_flags INTERFACE)
add_library(csl::flags ALIAS csl_flags)
include(CheckCCompilerFlag)

target_include_directories(csl_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(csl_flags INTERFACE _POSIX_C_SOURCE=200809L)
target_compile_options(csl_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wold-style-definition -Wvla -Wundef -Wformat=2 -Wcast-qual -Wcast-align
  -Wwrite-strings -Wswitch-enum -Wdouble-promotion -Wnull-dereference -Wimplicit-fallthrough -Werror
  -fvisibility=hidden -fstack-protector-strong -fno-common
  # The same bits on every optimisation level: no fused multiply-add behind our back.
  -ffp-contract=off
  # __FILE__ in errors is a path from the root of the tree, on every machine.
  -fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(csl_flags INTERFACE -Wlogical-op -Wduplicated-cond -Wduplicated-branches
    -Walloc-zero -Wjump-misses-init)
elseif(CMAKE_C_COMPILER_ID MATCHES "Clang")
  target_compile_options(csl_flags INTERFACE -Wcomma -Wunreachable-code)
endif()

if(CSL_SANITIZE)
  target_compile_options(csl_flags INTERFACE -fsanitize=${CSL_SANITIZE} -fno-omit-frame-pointer
    -fno-sanitize-recover=all)
  target_link_options(csl_flags INTERFACE -fsanitize=${CSL_SANITIZE})
else()
  target_compile_options(csl_flags INTERFACE -fstack-clash-protection -fcf-protection -fPIE)
  target_compile_definitions(csl_flags INTERFACE
    $<$<NOT:$<CONFIG:Debug>>:_FORTIFY_SOURCE=2>)
  target_link_options(csl_flags INTERFACE -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
    -Wl,--as-needed)
endif()
if(CSL_COVERAGE)
  target_compile_options(csl_flags INTERFACE --coverage)
  target_link_options(csl_flags INTERFACE --coverage)
endif()
if(CSL_FUZZ)
  target_compile_options(csl_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# csl_module(NAME SOURCES ... LINK ...): a static library with the project's flags.
function(csl_module name)
  cmake_parse_arguments(M "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  add_library(${name} STATIC ${M_SOURCES})
  target_link_libraries(${name} PUBLIC csl::flags ${M_LINK} PRIVATE ${M_PRIVATE_LINK})
endfunction()

# csl_test(NAME SOURCES ... LINK ... LABEL unit TIMEOUT 60): one test program, one ctest entry.
function(csl_test name)
  cmake_parse_arguments(T "" "LABEL;TIMEOUT" "SOURCES;LINK;ARGS" ${ARGN})
  if(NOT T_LABEL)
    set(T_LABEL unit)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 60)
  endif()
  if(CSL_SANITIZE OR CSL_COVERAGE)
    math(EXPR T_TIMEOUT "${T_TIMEOUT} * 5") # instrumented code takes that much longer
  endif()
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE csl::flags ${T_LINK} PkgConfig::CMOCKA)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name} ${T_ARGS} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS ${T_LABEL} TIMEOUT ${T_TIMEOUT}
    ENVIRONMENT "OMP_NUM_THREADS=1")
endfunction()
